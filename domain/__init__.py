"""The aggregates: their events, states, decisions and evolution. Pure: standard library and msgspec only."""
