//! When the next publication is due, estimated from the arrivals so far. Pure; the caller passes the time.
