//! Figures and their signs. Signs may stand apart, as in accounts: a currency at the left of its column, a percent sign or a
//! closing parenthesis at the right. Amounts of neighboring columns may stand so close that they seem to be one text.

use super::super::Cell;

/// Signs of currencies.
const CURRENCIES: [char; 14] = [
    '$', '€', '£', '¥', '₩', '₹', '₽', '₺', '₫', '฿', '₪', '₴', '₱', '￥',
];

/// Longest currency, such as `US$` or `(HK$`.
const MAX_CURRENCY_CHARS: usize = 4;

/// Puts each sign and its figure into one cell, and each amount into one of its own.
pub(super) fn joined(cells: Vec<Cell>) -> Vec<Cell> {
    let mut out: Vec<Cell> = Vec::with_capacity(cells.len());
    for cell in cells.into_iter().flat_map(amounts).flat_map(parted) {
        match out.last_mut() {
            Some(last) if is_currency(&last.text) && is_sum(&cell.text) => {
                let between = if last.text.contains('(') { "" } else { " " };
                add(last, between, cell);
            }
            Some(last) if is_end(&cell.text) && is_sum(&last.text) => add(last, "", cell),
            Some(_) | None => out.push(cell),
        }
    }
    out
}

/// Parts a text of nothing but amounts, each of which says by a comma or a point that it is a whole number of its own: a
/// space between digits may also part the thousands of one.
fn amounts(cell: Cell) -> Vec<Cell> {
    let is_whole = |text: &str| {
        let number = text.trim_matches(|c: char| CURRENCIES.contains(&c) || "()%+-−".contains(c));
        number.contains([',', '.'])
            && number.starts_with(|c: char| c.is_ascii_digit())
            && number.ends_with(|c: char| c.is_ascii_digit())
            && number
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ',' | '.'))
    };
    if cell.spaces.is_empty() || !cell.text.split(' ').all(is_whole) {
        return vec![cell];
    }
    let n_cells = cell.spaces.len() + 1;
    (0..n_cells)
        .map(|at| {
            let before = at.checked_sub(1).map(|before| cell.spaces[before]);
            let after = cell.spaces.get(at);
            let from = before.map_or(0, |space| space.at + 1);
            let to = after.map_or(cell.text.len(), |space| space.at);
            Cell {
                text: cell.text.get(from..to).unwrap_or_default().to_owned(),
                left: before.map_or(cell.left, |space| space.right),
                right: after.map_or(cell.right, |space| space.left),
                spaces: Vec::new(),
            }
        })
        .collect()
}

/// Takes the currency of the next figure off the end of a figure.
fn parted(cell: Cell) -> Vec<Cell> {
    let Some(space) = cell.spaces.last().copied() else {
        return vec![cell];
    };
    let Some((figure, sign)) = cell.text.split_at_checked(space.at) else {
        return vec![cell];
    };
    if !is_sum(figure) || !is_currency(sign.trim_start()) {
        return vec![cell];
    }
    let sign = Cell {
        text: sign.trim_start().to_owned(),
        left: space.right,
        right: cell.right,
        spaces: Vec::new(),
    };
    let mut spaces = cell.spaces;
    spaces.pop();
    let figure = Cell {
        text: figure.to_owned(),
        left: cell.left,
        right: space.left,
        spaces,
    };
    vec![figure, sign]
}

fn add(last: &mut Cell, between: &str, cell: Cell) {
    last.text.push_str(between);
    last.text.push_str(&cell.text);
    last.right = cell.right;
    last.spaces.clear();
}

fn is_currency(text: &str) -> bool {
    text.chars().count() <= MAX_CURRENCY_CHARS
        && text.ends_with(CURRENCIES)
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c == '(' || CURRENCIES.contains(&c))
}

/// Whether a text is a figure or the dash that stands for none, maybe with a currency before it.
fn is_sum(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| CURRENCIES.contains(&c) || c == ' ');
    let is_none = matches!(text, "-" | "–" | "—" | "―");
    let has_digits = text.chars().any(|c| c.is_ascii_digit());
    is_none || has_digits && !text.chars().any(char::is_alphabetic)
}

fn is_end(text: &str) -> bool {
    matches!(text, ")" | "%" | ")%" | "%)" | "）" | "％")
}

#[cfg(test)]
mod tests {
    use super::super::super::Space;
    use super::*;

    fn texts(row: &[&str]) -> Vec<String> {
        let cells = row.iter().map(|text| Cell {
            text: (*text).to_owned(),
            ..Cell::default()
        });
        let joined = joined(cells.collect());
        joined.into_iter().map(|cell| cell.text).collect()
    }

    #[test]
    fn signs_belong_to_the_figures_beside_them() {
        let row = [
            "Net sales",
            "$",
            "53,437",
            "$",
            "(49",
            ")",
            "(0.4",
            ")%",
            "US$",
            "—",
        ];
        let joined = ["Net sales", "$ 53,437", "$ (49)", "(0.4)%", "US$ —"];
        assert_eq!(texts(&row), joined);
    }

    #[test]
    fn a_currency_close_behind_a_figure_belongs_to_the_next_one() {
        let cell = |text: &str, left: f64, right: f64| Cell {
            text: text.to_owned(),
            left,
            right,
            spaces: Vec::new(),
        };
        let mut both = cell("53,437 $", 80.0, 120.0);
        both.spaces = vec![Space {
            at: 6,
            left: 110.0,
            right: 117.0,
        }];
        let row = vec![cell("$", 50.0, 53.0), both, cell("49,417", 140.0, 170.0)];
        assert_eq!(
            joined(row),
            [
                cell("$ 53,437", 50.0, 110.0),
                cell("$ 49,417", 117.0, 170.0)
            ]
        );
    }

    #[test]
    fn what_is_no_figure_stays_apart() {
        let row = ["Currency", "$", "price", "7", "items", "%"];
        assert_eq!(texts(&row), row);
    }
}
