"""Any value of a msgspec type, made from what msgspec itself knows of the type."""

from datetime import UTC
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect as mi

__all__ = ["values"]

_SIMPLE: dict[type[mi.Type], st.SearchStrategy[Any]] = {
    mi.IntType: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    mi.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    mi.StrType: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    mi.BytesType: st.binary(max_size=8),
    mi.BoolType: st.booleans(),
    mi.NoneType: st.none(),
    mi.UUIDType: st.uuids(),
    mi.DateType: st.dates(),
    mi.DateTimeType: st.datetimes(timezones=st.just(UTC)),
}


def values(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Any instance of the struct, with and without the fields that have defaults."""
    return _of(mi.type_info(cls))


def _of(kind: mi.Type) -> st.SearchStrategy[Any]:
    match kind:
        case mi.StructType():
            required = {f.name: _of(f.type) for f in kind.fields if f.required}
            optional = {f.name: _of(f.type) for f in kind.fields if not f.required}
            fields = st.fixed_dictionaries(required, optional=optional)
            return fields.map(lambda given: kind.cls(**given))
        case mi.UnionType():
            return st.one_of([_of(one) for one in kind.types])
        case mi.VarTupleType():
            return st.lists(_of(kind.item_type), max_size=3).map(tuple)
        case mi.TupleType():
            return st.tuples(*map(_of, kind.item_types))
        case mi.FrozenSetType():
            return st.frozensets(_of(kind.item_type), max_size=3)
        case mi.DictType():
            return st.dictionaries(_of(kind.key_type), _of(kind.value_type), max_size=3)
        case _:
            return _SIMPLE[type(kind)]
