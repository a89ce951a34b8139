"""The tables of the vault, made by the migrations of the component `vault`."""

from typing import Final

__all__ = ["MIGRATIONS"]

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    -- Who was erased: only ever added to. The lock makes the numbers grow in the order of the commits.
    CREATE TABLE emporium_erasures (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        subject uuid NOT NULL UNIQUE,
        erased_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE emporium_keys (
        subject uuid PRIMARY KEY,
        wrapped bytea,
        master text,
        created_at timestamptz NOT NULL DEFAULT now(),
        erased_at timestamptz,
        CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL)),
        CHECK ((wrapped IS NULL) = (master IS NULL))
    );
    CREATE INDEX emporium_keys_by_master ON emporium_keys (master, subject);

    CREATE FUNCTION emporium_erasures_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the list of erasures only grows';
    END $$;
    CREATE TRIGGER only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON emporium_erasures
        FOR EACH STATEMENT EXECUTE FUNCTION emporium_erasures_only_grow();

    -- Whatever writes a key of an erased subject (an upsert, a restore) writes a tombstone.
    CREATE FUNCTION emporium_keys_stay_erased() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        erased timestamptz;
    BEGIN
        SELECT e.erased_at INTO erased FROM emporium_erasures e WHERE e.subject = NEW.subject;
        IF FOUND THEN
            NEW.wrapped := NULL;
            NEW.master := NULL;
            NEW.erased_at := erased;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER stay_erased BEFORE INSERT OR UPDATE ON emporium_keys
        FOR EACH ROW EXECUTE FUNCTION emporium_keys_stay_erased();

    CREATE FUNCTION emporium_erase(who uuid) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('synchronous_commit') = 'off' THEN
            PERFORM set_config('synchronous_commit', 'on', true);
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('emporium_erasures', 0));
        INSERT INTO emporium_erasures (subject) VALUES (who) ON CONFLICT DO NOTHING;
        INSERT INTO emporium_keys (subject, erased_at) VALUES (who, now())
            ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, master = NULL, erased_at = now();
    END $$;
    """,
)
