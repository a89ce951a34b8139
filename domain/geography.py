"""How far countries are from each other: by the middles of their settled parts, good enough to choose a warehouse."""

from functools import lru_cache
from math import acos, cos, radians, sin
from typing import Final

__all__ = ["UNKNOWN", "distance"]

UNKNOWN: Final = 30_000
"""Farther than any two places on earth, in kilometres."""

_PLACES: Final = """
AD 42 2;AE 24 54;AF 34 66;AG 17 -62;AI 18 -63;AL 41 20;AM 40 45;AO -12 17;AR -34 -61;AS -14 -171;AT 48 15;AU -33 148
AW 12 -70;AX 60 20;AZ 40 48;BA 44 18;BB 13 -60;BD 24 90;BE 51 4;BF 12 -2;BG 43 25;BH 26 51;BI -3 30;BJ 7 2;BL 18 -63
BM 32 -65;BN 5 115;BO -17 -65;BQ 12 -68;BR -18 -46;BS 25 -77;BT 27 90;BW -23 25;BY 54 28;BZ 17 -88;CA 46 -77;CC -12 97
CD -4 20;CF 5 19;CG -3 15;CH 47 8;CI 6 -5;CK -21 -160;CL -34 -71;CM 5 11;CN 32 114;CO 5 -74;CR 10 -84;CU 22 -80
CV 15 -24;CW 12 -69;CX -10 106;CY 35 33;CZ 50 15;DE 51 10;DJ 12 43;DK 56 10;DM 15 -61;DO 19 -70;DZ 36 3;EC -2 -79
EE 59 26;EG 30 31;EH 24 -14;ER 15 39;ES 40 -4;ET 9 39;FI 62 25;FJ -18 178;FK -52 -59;FM 7 158;FO 62 -7;FR 48 3
GA 0 11;GB 53 -1;GD 12 -62;GE 42 44;GF 5 -53;GG 49 -3;GH 6 -1;GI 36 -5;GL 64 -51;GM 13 -16;GN 10 -12;GP 16 -61
GQ 2 10;GR 39 22;GT 15 -91;GU 13 145;GW 12 -15;GY 6 -58;HK 22 114;HN 15 -87;HR 45 16;HT 19 -72;HU 47 19;ID -7 110
IE 53 -7;IL 32 35;IM 54 -4;IN 22 79;IO -7 72;IQ 33 44;IR 35 51;IS 64 -21;IT 43 12;JE 49 -2;JM 18 -77;JO 32 36
JP 36 138;KE -1 37;KG 42 74;KH 12 105;KI 1 173;KM -12 43;KN 17 -63;KP 39 126;KR 37 127;KW 29 48;KY 19 -81;KZ 47 73
LA 18 103;LB 34 36;LC 14 -61;LI 47 10;LK 7 80;LR 6 -10;LS -29 28;LT 55 24;LU 50 6;LV 57 24;LY 32 15;MA 33 -7
MC 44 7;MD 47 29;ME 42 19;MF 18 -63;MG -19 47;MH 7 171;MK 42 21;ML 13 -7;MM 20 96;MN 48 107;MO 22 114;MP 15 146
MQ 15 -61;MR 18 -15;MS 17 -62;MT 36 14;MU -20 57;MV 4 73;MW -14 34;MX 20 -100;MY 4 102;MZ -18 35;NA -22 17;NC -22 166
NE 14 6;NF -29 168;NG 8 6;NI 12 -86;NL 52 5;NO 60 9;NP 28 85;NR -1 167;NU -19 -170;NZ -39 175;OM 23 58;PA 9 -80
PE -11 -76;PF -18 -150;PG -7 146;PH 13 122;PK 31 72;PL 52 19;PM 47 -56;PR 18 -66;PS 32 35;PT 40 -8;PW 7 134;PY -25 -57
QA 25 51;RE -21 56;RO 46 25;RS 44 21;RU 56 40;RW -2 30;SA 24 45;SB -9 160;SC -5 55;SD 15 32;SE 59 16;SG 1 104
SH -16 -6;SI 46 15;SJ 78 16;SK 49 19;SL 8 -12;SM 44 12;SN 15 -16;SO 4 45;SR 5 -55;SS 5 31;ST 0 7;SV 14 -89
SX 18 -63;SY 35 37;SZ -26 31;TC 22 -72;TD 12 16;TG 7 1;TH 15 101;TJ 38 69;TK -9 -172;TL -9 126;TM 38 58;TN 36 10
TO -21 -175;TR 39 33;TT 10 -61;TV -8 179;TW 24 121;TZ -6 36;UA 49 31;UG 1 32;US 39 -90;UY -34 -56;UZ 41 67;VA 42 12
VC 13 -61;VE 9 -68;VG 18 -65;VI 18 -65;VN 16 107;VU -17 168;WF -13 -176;WS -14 -172;XK 43 21;YE 15 45;YT -13 45
ZA -27 27;ZM -15 28;ZW -18 30
"""
"""Country (ISO 3166 alpha-2), degrees north and degrees east."""

_MIDDLES: Final = {
    code: (radians(int(north)), radians(int(east)))
    for code, north, east in (one.split() for one in _PLACES.replace("\n", ";").split(";") if one)
}


@lru_cache(maxsize=65_536)
def distance(one: str, other: str) -> int:
    """Kilometres between two countries: 0 for the same one, UNKNOWN where either is not known."""
    if one == other:
        return 0
    if one not in _MIDDLES or other not in _MIDDLES:
        return UNKNOWN
    (north, east), (to_north, to_east) = _MIDDLES[one], _MIDDLES[other]
    angle = sin(north) * sin(to_north) + cos(north) * cos(to_north) * cos(east - to_east)
    return round(6_371 * acos(max(-1.0, min(1.0, angle)))) or 1
