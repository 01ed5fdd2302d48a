//! The rules of a grid: which of them belong together, and what they part.

use super::super::super::Rule;
use std::collections::HashMap;

/// Rules this close to each other are one; ends this close touch.
const SNAP: f64 = 3.0;

/// Rules may end this far from the corner that they lead to.
const CORNER: f64 = 6.5;

/// Pieces of a border may be this far apart, where it is drawn cell by cell within the cells' margins.
const MAX_GAP: f64 = 8.0;

/// A box with sides no longer than this, such as one to be ticked, is part of a text.
const MAX_BOX: f64 = 16.0;

/// Share of a cell's side that must be drawn.
const MIN_DRAWN: f64 = 0.5;

/// Whether a rule is a side of a small box: there is one like it at the other side, and none goes on in its direction.
pub(super) fn is_side_of_box(rule: &Rule, rules: &[Rule]) -> bool {
    let is_level = rule.is_horizontal();
    let turned = |rule: &Rule| {
        if is_level {
            (rule.from.1, rule.from.0, rule.to.0)
        } else {
            (rule.from.0, rule.from.1, rule.to.1)
        }
    };
    let (place, from, to) = turned(rule);
    if to - from > MAX_BOX {
        return false;
    }
    let (mut is_facing, mut goes_on) = (false, false);
    for other in rules
        .iter()
        .filter(|other| other.is_horizontal() == is_level)
    {
        let (other_place, other_from, other_to) = turned(other);
        let is_same = (other_from - from).abs() < 1.0 && (other_to - to).abs() < 1.0;
        let away = (other_place - place).abs();
        is_facing |= is_same && (SNAP..=MAX_BOX).contains(&away);
        let touches = other_from <= to + SNAP && other_to >= from - SNAP;
        goes_on |= !is_same && away < 1.0 && touches;
    }
    is_facing && !goes_on
}

/// Groups the rules that touch each other, from the highest down.
pub(super) fn connected(rules: &[Rule]) -> Vec<Vec<Rule>> {
    let mut sets = Sets::new(rules.len());
    let mut vertical: Vec<usize> = (0..rules.len())
        .filter(|&at| rules[at].is_vertical())
        .collect();
    vertical.sort_by(|&a, &b| rules[a].from.0.total_cmp(&rules[b].from.0));
    for (at, rule) in rules.iter().enumerate().filter(|(_, r)| r.is_horizontal()) {
        let first = vertical.partition_point(|&v| rules[v].from.0 < rule.from.0 - CORNER);
        let across = vertical[first..]
            .iter()
            .take_while(|&&v| rules[v].from.0 <= rule.to.0 + CORNER);
        for &v in across {
            let (top, bottom) = (rules[v].from.1 - CORNER, rules[v].to.1 + CORNER);
            if (top..=bottom).contains(&rule.from.1) {
                sets.join(at, v);
            }
        }
    }
    let mut level: Vec<usize> = (0..rules.len())
        .filter(|&at| rules[at].is_horizontal())
        .collect();
    level.sort_by(|&a, &b| rules[a].from.1.total_cmp(&rules[b].from.1));
    for pieces in level.chunk_by_mut(|&a, &b| rules[b].from.1 - rules[a].from.1 < 1.0) {
        pieces.sort_by(|&a, &b| rules[a].from.0.total_cmp(&rules[b].from.0));
        for pair in pieces.windows(2) {
            if rules[pair[1]].from.0 - rules[pair[0]].to.0 <= MAX_GAP {
                sets.join(pair[0], pair[1]);
            }
        }
    }
    for pieces in vertical.chunk_by_mut(|&a, &b| rules[b].from.0 - rules[a].from.0 < 1.0) {
        pieces.sort_by(|&a, &b| rules[a].from.1.total_cmp(&rules[b].from.1));
        for pair in pieces.windows(2) {
            if rules[pair[1]].from.1 - rules[pair[0]].to.1 <= SNAP {
                sets.join(pair[0], pair[1]);
            }
        }
    }
    let mut groups: HashMap<usize, Vec<Rule>> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        groups.entry(sets.root(at)).or_default().push(*rule);
    }
    let mut groups: Vec<Vec<Rule>> = groups.into_values().collect();
    let top = |group: &Vec<Rule>| {
        let tops = group.iter().map(|rule| rule.from.1);
        let lefts = group.iter().map(|rule| rule.from.0);
        (
            tops.fold(f64::MAX, f64::min),
            lefts.fold(f64::MAX, f64::min),
        )
    };
    groups.sort_by(|a, b| {
        let (a, b) = (top(a), top(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    groups
}

/// Numbers in sets that can be joined.
pub(super) struct Sets(Vec<usize>);

impl Sets {
    pub(super) fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    pub(super) fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// For each pair of places the rules run at and places across them: whether a rule runs there from one of these to the
/// next.
pub(super) fn drawn(
    sides: impl Iterator<Item = (f64, f64, f64)>,
    places: &[f64],
    across: &[f64],
) -> Vec<bool> {
    let n = across.len() - 1;
    let mut lengths = vec![0.0; places.len() * n];
    for (place, from, to) in sides {
        let nearest = (0..places.len()).min_by(|&a, &b| {
            (places[a] - place)
                .abs()
                .total_cmp(&(places[b] - place).abs())
        });
        let Some(at) = nearest else { continue };
        for step in 0..n {
            let shared = across[step + 1].min(to) - across[step].max(from);
            lengths[at * n + step] += shared.max(0.0);
        }
    }
    let long_enough = |(at, length): (usize, &f64)| {
        let step = at % n;
        *length >= (across[step + 1] - across[step]) * MIN_DRAWN
    };
    lengths.iter().enumerate().map(long_enough).collect()
}

/// Returns places in order, those close together as one.
pub(super) fn snapped(mut places: Vec<f64>) -> Vec<f64> {
    places.sort_by(f64::total_cmp);
    let mut groups: Vec<Vec<f64>> = Vec::new();
    for place in places {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| place - last <= SNAP) => {
                group.push(place);
            }
            Some(_) | None => groups.push(vec![place]),
        }
    }
    let middle = |group: Vec<f64>| group.iter().sum::<f64>() / group.len() as f64;
    groups.into_iter().map(middle).collect()
}

/// Returns between which two places, in order, another lies.
pub(super) fn between(places: &[f64], place: f64) -> Option<usize> {
    let after = places.partition_point(|one| *one <= place);
    (1..places.len()).contains(&after).then(|| after - 1)
}
