//! Units as types: a size in bytes that people write as `2GiB`.

use std::{fmt, str::FromStr};

/// A size in bytes. Reads `0`, `512`, `64KiB`, `1.5 GiB`, `200MB`; prints the shortest binary form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// `n` bytes.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// `n` KiB; saturates.
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// `n` MiB; saturates.
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1024)]
            .into_iter()
            .find(|&(_, unit)| self.0 >= unit)
            .unwrap_or(("B", 1));
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        // One decimal, from integers: no float rounding shows up in stable output.
        let tenth = u128::from(rest) * 10 / u128::from(unit);
        if tenth == 0 { write!(f, "{whole}{name}") } else { write!(f, "{whole}.{tenth}{name}") }
    }
}

/// Why a text is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// It does not begin with a number.
    #[error("`{0}` is no size: write a number and a unit, such as 512MiB or 2GiB")]
    NoNumber(String),
    /// The unit is unknown.
    #[error("`{0}` is no unit of size: use B, KiB, MiB, GiB, TiB (or KB, MB, GB, TB)")]
    UnknownUnit(String),
    /// It exceeds 2^64 - 1 bytes.
    #[error("`{0}` is larger than any machine's memory")]
    TooLarge(String),
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim().to_ascii_lowercase();
        let factor = if unit.is_empty() {
            1
        } else {
            UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|&(_, factor)| factor)
                .ok_or(ByteSizeError::UnknownUnit(unit))?
        };
        let no_number = || ByteSizeError::NoNumber(text.to_owned());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
            return Err(no_number());
        }
        let too_large = || ByteSizeError::TooLarge(text.to_owned());
        let mut bytes =
            u128::from(whole.parse::<u64>().map_err(|_| too_large())?) * u128::from(factor);
        if !fraction.is_empty() {
            let parts = fraction.parse::<u64>().map_err(|_| no_number())?;
            let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| no_number())?);
            bytes += u128::from(parts) * u128::from(factor) / scale;
        }
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64KiB", 65536), ("1.5 gib", 3 << 29), ("200MB", 200_000_000)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told_apart() {
        assert!(matches!("".parse::<ByteSize>(), Err(ByteSizeError::NoNumber(_))));
        assert!(matches!("1.2.3".parse::<ByteSize>(), Err(ByteSizeError::NoNumber(_))));
        assert!(matches!("3 bananas".parse::<ByteSize>(), Err(ByteSizeError::UnknownUnit(_))));
        assert!(matches!("99999999TiB".parse::<ByteSize>(), Err(ByteSizeError::TooLarge(_))));
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_fits() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (2 << 30, "2GiB")] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
