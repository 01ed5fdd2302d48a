//! Calendar dates as people write them: ISO 8601, with slashes or dots, in Japanese, by era.

use crate::error::{Error, Result};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use std::ops::RangeInclusive;
use unicode_normalization::UnicodeNormalization;

/// The days that a date stands for: one, or all of its month or year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub first: Date,
    /// The last day, included.
    pub last: Date,
}

/// A Japanese era. Its year 1 ends with the calendar year in which it began.
struct Era {
    name: &'static str,
    letter: char,
    year_one: i16,
    days: RangeInclusive<Date>,
}

/// Before 1873 (Meiji 6) Japan used another calendar, whose months and days are not these.
const ERAS: [Era; 5] = [
    era("令和", 'R', 2019, date(2019, 5, 1)..=date(9999, 12, 31)),
    era("平成", 'H', 1989, date(1989, 1, 8)..=date(2019, 4, 30)),
    era("昭和", 'S', 1926, date(1926, 12, 25)..=date(1989, 1, 7)),
    era("大正", 'T', 1912, date(1912, 7, 30)..=date(1926, 12, 24)),
    era("明治", 'M', 1868, date(1873, 1, 1)..=date(1912, 7, 29)),
];

const fn era(name: &'static str, letter: char, year_one: i16, days: RangeInclusive<Date>) -> Era {
    Era {
        name,
        letter,
        year_one,
        days,
    }
}

/// Reads a date: `2024-04-01`, `2024/4/1`, `20240401`, `2024年4月1日`, `令和6年4月1日`, `令和六年四月一日`, `R6.4.1`, also
/// without the day or the month, also with a time, which is passed over. Width does not matter.
///
/// # Errors
/// [`Error::InvalidDate`] when it is none of these, is not in the calendar, or not within its era.
pub fn parse(text: &str) -> Result<Period> {
    read(text).map_err(|reason| Error::InvalidDate {
        text: text.chars().take(64).collect(),
        reason,
    })
}

/// Reads a date like [`parse`]; a month or a year alone stands for its first day.
///
/// # Errors
/// Like [`parse`].
pub fn parse_day(text: &str) -> Result<Date> {
    parse(text).map(|period| period.first)
}

fn read(text: &str) -> std::result::Result<Period, String> {
    let plain = normalized(text);
    let (era, rest) = match strip_era(&plain) {
        Some((era, rest)) => (Some(era), rest),
        None => (None, plain.as_str()),
    };
    let parts = numbers(rest, era.is_some()).ok_or("it is not written like one")?;
    let year = match (era, parts[0]) {
        (Some(_), (0, _)) => return Err("eras begin with year 1".to_owned()),
        (Some(era), (year, _)) => era.year_one.saturating_add(year).saturating_sub(1),
        (None, (year, 4)) => year,
        (None, _) => return Err("its year needs four digits, or an era".to_owned()),
    };
    let [_, month, day] = parts.map(|(number, _)| i8::try_from(number).unwrap_or(i8::MAX));
    let in_calendar = |month, day| {
        Date::new(year, month, day).map_err(|_| "there is no such day in the calendar".to_owned())
    };
    let has = parts.map(|(_, n_digits)| n_digits > 0);
    let period = match has {
        [_, false, _] => Period {
            first: in_calendar(1, 1)?,
            last: in_calendar(12, 31)?,
        },
        [_, true, false] => {
            let first = in_calendar(month, 1)?;
            let last = first.last_of_month();
            Period { first, last }
        }
        [_, true, true] => {
            let day = in_calendar(month, day)?;
            Period {
                first: day,
                last: day,
            }
        }
    };
    if period.first.year() < 1 {
        return Err("years before 1 are not known".to_owned());
    }
    match era {
        None => Ok(period),
        Some(era) => era.clip(period),
    }
}

impl Era {
    /// Returns the part of a period that lies in the era.
    fn clip(&self, period: Period) -> std::result::Result<Period, String> {
        let first = period.first.max(*self.days.start());
        let last = period.last.min(*self.days.end());
        if first <= last {
            return Ok(Period { first, last });
        }
        let (from, to) = (self.days.start(), self.days.end());
        Err(format!(
            "{} is from {from} to {to}; the day would be {}",
            self.name, period.first
        ))
    }
}

/// NFKC without spaces and with upper-case letters, one kind of hyphen and Arabic digits. A time of day goes.
fn normalized(text: &str) -> String {
    let text = text.trim();
    let day_of_time = text.split_at_checked(10).filter(|(day, time)| {
        day.is_ascii()
            && time.starts_with(['T', 't', ' '])
            && time[1..].starts_with(|c: char| c.is_ascii_digit())
            && time[1..]
                .chars()
                .all(|c| c.is_ascii_digit() || ":.+-Zz".contains(c))
    });
    let text = day_of_time.map_or(text, |(day, _)| day);
    let plain = text.nfkc().filter(|c| !c.is_whitespace()).map(|c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        c => c.to_ascii_uppercase(),
    });
    in_digits(&plain.collect::<String>())
}

/// Writes numbers in kanji with digits: `三十一` and `三一` as `31`, `二〇二四` as `2024`.
fn in_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The sum so far, and the digits since the last ten or hundred.
    let (mut sum, mut units): (u32, Option<u32>) = (0, None);
    let mut open = false;
    let flush = |out: &mut String, sum: &mut u32, units: &mut Option<u32>, open: &mut bool| {
        if std::mem::take(open) {
            let number = std::mem::take(sum).saturating_add(units.take().unwrap_or(0));
            out.push_str(&number.to_string());
        }
    };
    for c in text.chars() {
        let digit = "〇一二三四五六七八九".chars().position(|known| known == c);
        let digit = digit.and_then(|digit| u32::try_from(digit).ok());
        let tens = match c {
            '十' => Some(10),
            '百' => Some(100),
            '千' => Some(1000),
            _ => None,
        };
        if let Some(digit) = digit.or((c == '零').then_some(0)) {
            units = Some(units.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            open = true;
        } else if let Some(tens) = tens {
            sum = sum.saturating_add(units.take().unwrap_or(1).saturating_mul(tens));
            open = true;
        } else {
            flush(&mut out, &mut sum, &mut units, &mut open);
            out.push(c);
        }
    }
    flush(&mut out, &mut sum, &mut units, &mut open);
    out
}

/// Returns the era a date begins with, by its name, its first character or its letter, and the rest.
fn strip_era(text: &str) -> Option<(&'static Era, &str)> {
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit() || c == '元');
    ERAS.iter().find_map(|era| {
        let initial = era.name.chars().next()?;
        let rest = text
            .strip_prefix(era.name)
            .or_else(|| text.strip_prefix(initial))
            .or_else(|| text.strip_prefix(era.letter))?;
        begins(rest).then_some((era, rest))
    })
}

/// Returns year, month and day, each with its number of digits: none for what is not there.
fn numbers(text: &str, in_era: bool) -> Option<[(i16, usize); 3]> {
    let mut parts = [(0, 0); 3];
    if text.len() == 8 && !in_era && text.bytes().all(|b| b.is_ascii_digit()) {
        for (part, range) in parts.iter_mut().zip([0..4, 4..6, 6..8]) {
            *part = (text[range.clone()].parse().ok()?, range.len());
        }
        return Some(parts);
    }
    let mut rest = text;
    let mut separator = None;
    for (at, unit) in ['年', '月', '日'].into_iter().enumerate() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at(n_digits);
        (parts[at], rest) = match after.strip_prefix('元') {
            Some(after) if at == 0 && in_era && n_digits == 0 => ((1, 1), after),
            _ => ((digits.parse().ok()?, n_digits), after),
        };
        let Some(next) = rest.chars().next() else {
            // In Japanese nothing goes without its unit: `2024年4` is no date.
            return (at == 0 || separator != Some('年')).then_some(parts);
        };
        rest = &rest[next.len_utf8()..];
        // One style for all: `年`, `月` and `日`, or one sign between two numbers.
        let style = if next == unit { '年' } else { next };
        let known = style == '年' || (at < 2 && matches!(style, '.' | '/' | '-'));
        if !known
            || separator
                .replace(style)
                .is_some_and(|before| before != style)
        {
            return None;
        }
        if rest.is_empty() {
            return (style == '年').then_some(parts);
        }
    }
    None
}

/// Returns the day after; the last day of the calendar has none.
pub(crate) fn next_day(day: Date) -> Option<Date> {
    day.checked_add(1.day()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> (String, String) {
        let period = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (period.first.to_string(), period.last.to_string())
    }

    #[test]
    fn one_day_in_every_spelling() {
        for text in [
            "2024-04-01",
            "2024-4-1",
            "2024/4/1",
            "2024.04.01",
            "20240401",
            "2024年4月1日",
            "２０２４年４月１日",
            " 2024 年 4 月 1 日 ",
            "二〇二四年四月一日",
            "令和6年4月1日",
            "令和６年４月１日",
            "令和六年四月一日",
            "㋿6年4月1日",
            "令6.4.1",
            "R6.4.1",
            "r06/04/01",
            "Ｒ６－４－１",
            "2024-04-01T09:30:00+09:00",
            "2024-04-01T00:30:00Z",
            "2024-04-01 09:30",
            "2024−04−01",
        ] {
            assert_eq!(
                days(text),
                ("2024-04-01".to_owned(), "2024-04-01".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn eras_begin_and_end_on_their_day() {
        for (text, day) in [
            ("令和元年5月1日", "2019-05-01"),
            ("R1.5.1", "2019-05-01"),
            ("平成31年4月30日", "2019-04-30"),
            ("平成元年1月8日", "1989-01-08"),
            ("昭和64年1月7日", "1989-01-07"),
            ("昭和元年12月25日", "1926-12-25"),
            ("S1.12.25", "1926-12-25"),
            ("大正15年12月24日", "1926-12-24"),
            ("大正元年7月30日", "1912-07-30"),
            ("明治45年7月29日", "1912-07-29"),
            ("明治6年1月1日", "1873-01-01"),
            ("昭和五十五年十月三十一日", "1980-10-31"),
        ] {
            assert_eq!(days(text), (day.to_owned(), day.to_owned()), "{text}");
        }
        for text in [
            "令和元年4月30日",
            "平成31年5月1日",
            "平成元年1月7日",
            "昭和64年1月8日",
            "昭和元年12月24日",
            "大正15年12月25日",
            "大正元年7月29日",
            "明治45年7月30日",
            "明治5年12月2日",
            "平成32年",
            "R0.1.1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("平成31年5月1日").unwrap_err().to_string();
        assert!(error.contains("平成 is from 1989-01-08 to 2019-04-30"));
        assert!(error.contains("the day would be 2019-05-01"), "{error}");
    }

    #[test]
    fn a_month_and_a_year_stand_for_all_their_days_within_their_era() {
        for (text, first, last) in [
            ("2024年", "2024-01-01", "2024-12-31"),
            ("2024", "2024-01-01", "2024-12-31"),
            ("2024年2月", "2024-02-01", "2024-02-29"),
            ("2024-02", "2024-02-01", "2024-02-29"),
            ("令和5年", "2023-01-01", "2023-12-31"),
            ("令和元年", "2019-05-01", "2019-12-31"),
            ("平成31年", "2019-01-01", "2019-04-30"),
            ("昭和64年1月", "1989-01-01", "1989-01-07"),
            ("R5", "2023-01-01", "2023-12-31"),
        ] {
            assert_eq!(days(text), (first.to_owned(), last.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_told_with_what_would_be_one() {
        for text in [
            "",
            "soon",
            "4/1",
            "24/4/1",
            "1/4/2024",
            "2024-02-30",
            "2024-13-01",
            "2023-02-29",
            "2024年4",
            "2024年4月1",
            "2024/4-1",
            "2024-04-01-05",
            "2024-04-01x",
            "2024-",
            "年",
            "元年",
            "2024年元月1日",
            "安永5年1月1日",
            "99999999999年",
            "2024-04-01Tnoon",
            "0000-01-01",
            "\u{10FFFF}",
            "令和",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("2024-04-01") && error.contains("令和6年4月1日"));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,24}", parts in "[0-9元年月日令和平成RHSTM./十百千〇一-]{0,12}") {
            let _ = (parse(&text), parse(&parts));
        }

        #[test]
        fn iso_dates_come_back(year in 1_i16..=9999, month in 1_i8..=12, day in 1_i8..=28) {
            let day = date(year, month, day);
            assert_eq!(parse_day(&day.to_string()).unwrap(), day);
        }
    }
}
