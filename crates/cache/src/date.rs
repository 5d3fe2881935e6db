//! HTTP dates: read in their three forms, written in one. RFC 9110, section 5.6.7.
//!
//! Reading is strict: a wrong zone, a missing comma, one digit where two belong, or a two-digit year
//! outside the RFC 850 form make it no date, and for Expires no date means "already expired". Only
//! the case of names is not looked at. The day of the week must be a day's name, but which day it
//! names is not held against the sender: it carries no information.
//!
//! Days are counted as in Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013): years begin
//! in March, so that a leap day is the last day of its year.

use nigh_base::Wall;

/// The two-digit year of RFC 850 dates is read within 50 years of this clock reading when the caller
/// has none: 2020-01-01. `00` to `70` are then years of this century, `71` to `99` of the last.
const PIVOT: Wall = Wall::from_secs(1_577_836_800);
const DAY_SECS: i64 = 86_400;
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAYS: [&[u8]; 7] =
    [b"Thursday", b"Friday", b"Saturday", b"Sunday", b"Monday", b"Tuesday", b"Wednesday"];

/// The instant that `text` names, to the second; None if it is no HTTP date. What lies before 1970
/// is read as 1970-01-01T00:00:00Z, where [`Wall`] begins: it is as much in the past as any.
///
/// ```
/// use nigh_cache::date::{format, parse};
/// let text = b"Sun, 06 Nov 1994 08:49:37 GMT";
/// assert_eq!(format(parse(text).unwrap()), *text);
/// assert_eq!(parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), parse(text));
/// assert_eq!(parse(b"Sun Nov  6 08:49:37 1994"), parse(text));
/// ```
pub fn parse(text: &[u8]) -> Option<Wall> {
    parse_at(text, PIVOT)
}

/// As [`parse`], with the two-digit year of an RFC 850 date read as a year that lies at most 50
/// years after `now`.
pub fn parse_at(text: &[u8], now: Wall) -> Option<Wall> {
    let comma = text.iter().position(|&byte| byte == b',');
    let parts = match (comma, text.len()) {
        (Some(3), 29) => fixdate(text),
        (Some(at), _) => rfc850(text, at, now),
        (None, 24) => asctime(text),
        _ => None,
    }?;
    // A leap second behind the last one has no name of its own.
    parts.wall().map(|when| when.min(Wall::from_secs(LAST)))
}

/// The last second that an HTTP date can name, 9999-12-31T23:59:59, since the epoch.
const LAST: u64 = 253_402_300_799;

/// `when` as an IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Years after 9999 are written as
/// 9999-12-31T23:59:59: the form has room for four digits.
pub fn format(when: Wall) -> [u8; 29] {
    let secs = when.secs().min(LAST);
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[..3].copy_from_slice(&DAYS[usize::from(byte(days % 7))][..3]);
    two(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[usize::from(byte(month - 1))]);
    two(&mut out[12..14], year / 100);
    two(&mut out[14..16], year % 100);
    two(&mut out[17..19], second / 3600);
    two(&mut out[20..22], second / 60 % 60);
    two(&mut out[23..25], second % 60);
    out
}

/// A date in its parts, as read and not yet checked.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Parts {
    fn wall(&self) -> Option<Wall> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let longest = match self.month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        // A leap second (60) is written by the grammar and read as the second after it.
        let valid = (1..=longest).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60;
        if !valid {
            return None;
        }
        let days = days_since_epoch(self.year, self.month, self.day);
        let secs = days * DAY_SECS + self.hour * 3600 + self.minute * 60 + self.second;
        Some(Wall::from_secs(u64::try_from(secs).unwrap_or(0)))
    }

    /// The year that `two_digits` means: the latest one that is at most 50 years after `now`.
    fn with_century(mut self, two_digits: i64, now: Wall) -> Self {
        let (this_year, ..) = civil(now.secs().min(u64::from(u32::MAX) * 4) / 86_400);
        let latest = i64::try_from(this_year).unwrap_or(i64::MAX / 2) + 50;
        self.year = latest - (latest - two_digits).rem_euclid(100);
        self
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixdate(text: &[u8]) -> Option<Parts> {
    weekday(text.get(..3)?, true)?;
    literal(text, 3, b", ")?;
    literal(text, 7, b" ")?;
    literal(text, 11, b" ")?;
    literal(text, 16, b" ")?;
    zone(text, 25)?;
    let (hour, minute, second) = time(text.get(17..25)?)?;
    let (day, month) = (number(text.get(5..7)?)?, month(text.get(8..11)?)?);
    Some(Parts { year: number(text.get(12..16)?)?, month, day, hour, minute, second })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, with its comma at `comma`.
fn rfc850(text: &[u8], comma: usize, now: Wall) -> Option<Parts> {
    weekday(&text[..comma], false)?;
    let text = &text[comma..];
    if text.len() != 24 {
        return None;
    }
    literal(text, 0, b", ")?;
    literal(text, 4, b"-")?;
    literal(text, 8, b"-")?;
    literal(text, 11, b" ")?;
    zone(text, 20)?;
    let (hour, minute, second) = time(text.get(12..20)?)?;
    let (day, month) = (number(text.get(2..4)?)?, month(text.get(5..8)?)?);
    let year = number(text.get(9..11)?)?;
    Some(Parts { year, month, day, hour, minute, second }.with_century(year, now))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<Parts> {
    weekday(text.get(..3)?, true)?;
    literal(text, 3, b" ")?;
    literal(text, 7, b" ")?;
    literal(text, 10, b" ")?;
    literal(text, 19, b" ")?;
    let (hour, minute, second) = time(text.get(11..19)?)?;
    let day = match text.get(8..10)? {
        [b' ', digit] => number(&[*digit])?,
        two => number(two)?,
    };
    let month = month(text.get(4..7)?)?;
    Some(Parts { year: number(text.get(20..24)?)?, month, day, hour, minute, second })
}

fn weekday(text: &[u8], short: bool) -> Option<()> {
    let known = DAYS.iter().any(|day| {
        let name = if short { &day[..3] } else { day };
        name.eq_ignore_ascii_case(text)
    });
    known.then_some(())
}

fn month(text: &[u8]) -> Option<i64> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(text))?;
    i64::try_from(at + 1).ok()
}

fn time(text: &[u8]) -> Option<(i64, i64, i64)> {
    literal(text, 2, b":")?;
    literal(text, 5, b":")?;
    Some((number(text.get(..2)?)?, number(text.get(3..5)?)?, number(text.get(6..)?)?))
}

fn zone(text: &[u8], at: usize) -> Option<()> {
    text.get(at..)?.eq_ignore_ascii_case(b" GMT").then_some(())
}

fn literal(text: &[u8], at: usize, expected: &[u8]) -> Option<()> {
    text.get(at..)?.starts_with(expected).then_some(())
}

fn number(text: &[u8]) -> Option<i64> {
    crate::list::digits(text).and_then(|number| i64::try_from(number).ok())
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of the day `days` days after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn two(out: &mut [u8], number: u64) {
    out[0] = b'0' + byte(number / 10);
    out[1] = b'0' + byte(number % 10);
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).expect("a part of a date is below 256")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nigh_base::Rng;

    #[test]
    fn the_three_forms_name_one_instant() {
        let expected = Some(Wall::from_secs(784_111_777));
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nOV 1994 08:49:37 gmt",
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nearly_a_date_is_none() {
        for text in [
            "0",
            "",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18-Aug-50 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 30 Feb 2050 02:01:18 GMT",
            "Thu, 29 Feb 2100 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT+1",
            "Abc, 18 Aug 2050 02:01:18 GMT",
            "Thu Aug 8 02:01:18 2050",
            "Thu, 1\u{e9} Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_two_digit_year_lies_at_most_fifty_years_ahead() {
        let year = |text: &str, now: &str| {
            let now = parse(now.as_bytes()).unwrap();
            String::from_utf8(format(parse_at(text.as_bytes(), now).unwrap()).to_vec()).unwrap()
        };
        for (two, now, four) in [
            ("50", "2025", "2050"),
            ("75", "2025", "2075"),
            ("76", "2025", "1976"),
            ("00", "1999", "2000"),
        ] {
            let text = format!("Thursday, 18-Aug-{two} 02:01:18 GMT");
            let found = year(&text, &format!("Wed, 01 Jan {now} 00:00:00 GMT"));
            assert_eq!(&found[12..16], four, "{two} in {now}");
        }
    }

    #[test]
    fn a_date_before_the_epoch_is_the_epoch() {
        assert_eq!(parse(b"Fri, 01 Jan 1960 00:00:00 GMT"), Some(Wall::from_secs(0)));
    }

    #[test]
    fn a_date_past_the_last_year_is_the_last_second() {
        assert_eq!(&format(Wall::from_millis(u64::MAX)), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_written_date_reads_back() {
        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let when = Wall::from_secs(rng.below(253_402_300_800));
            assert_eq!(parse(&format(when)), Some(when));
        }
    }
}
