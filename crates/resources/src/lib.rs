//! The resource algebra: scalars in thousandths, ranges, sets, reservations.
