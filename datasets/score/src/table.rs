//! Tables for people and for a README, and numbers as people read them.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{CellAlignment, Table};

/// Prints rows under a heading; the first column is text, the others are numbers unless they are named in `text`.
pub fn print(heading: &[&str], rows: Vec<Vec<String>>, markdown: bool) {
    let mut table = Table::new();
    table.load_preset(if markdown { ASCII_MARKDOWN } else { NOTHING }).set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// 1234.5 as `1,234`, 0.123 as `0.12`.
pub fn number(x: f64) -> String {
    if x.fract().abs() > 1e-9 && x.abs() < 10.0 {
        return format!("{x:.1}");
    }
    let digits = format!("{x:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let groups: Vec<&str> =
        (0..digits.len()).rev().step_by(3).map(|end| &digits[(end + 1).saturating_sub(3)..=end]).collect();
    sign.to_owned() + &groups.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// Seconds as `40 s`, `12 min`, `5.0 h`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_have_groups() {
        for (x, text) in [(0.0, "0"), (12.0, "12"), (1_234.0, "1,234"), (37_000_000.0, "37,000,000"), (4.25, "4.2")] {
            assert_eq!(super::number(x), text);
        }
    }
}
