"""ISO 3166 codes of the countries as the file calls them; orders carry the code in clear."""

import re
from typing import Final

__all__ = ["UNKNOWN", "country_code"]

UNKNOWN: Final = "ZZ"
"""ISO 3166's user-assigned code that is in common use for an unknown country."""

_CODES: Final = {
    "australia": "AU", "austria": "AT", "bahrain": "BH", "belgium": "BE", "bermuda": "BM", "brazil": "BR",
    "canada": "CA", "channel islands": "JE", "cyprus": "CY", "czech republic": "CZ", "denmark": "DK", "eire": "IE",
    "european community": "EU", "finland": "FI", "france": "FR", "germany": "DE", "greece": "GR", "hong kong": "HK",
    "iceland": "IS", "ireland": "IE", "israel": "IL", "italy": "IT", "japan": "JP", "korea": "KR", "lebanon": "LB",
    "lithuania": "LT", "malta": "MT", "netherlands": "NL", "nigeria": "NG", "norway": "NO", "poland": "PL",
    "portugal": "PT", "rsa": "ZA", "saudi arabia": "SA", "singapore": "SG", "spain": "ES", "sweden": "SE",
    "switzerland": "CH", "thailand": "TH", "united arab emirates": "AE", "united kingdom": "GB", "usa": "US",
    "west indies": "BB",
}  # fmt: skip
"""The Channel Islands are no country of ISO 3166: Jersey, the largest, stands for them."""


def country_code(name: str) -> str:
    """The code of a country's name (or of a code); UNKNOWN where it is none that is known."""
    if re.fullmatch("[A-Z]{2}", name):
        return name
    return _CODES.get(name.casefold(), UNKNOWN)
