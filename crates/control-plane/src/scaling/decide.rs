//! The arithmetic of target tracking: how many servers a variant should have.

/// What is known about a variant when a decision is made.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Servers it has.
    pub current: u64,
    /// Least it may have.
    pub minimum: u64,
    /// Most it may have.
    pub maximum: u64,
    /// Invocations in the last minute.
    pub invocations: u64,
    /// Has it been watched for a whole minute since its last change?
    pub whole_minute: bool,
    /// Milliseconds since servers were added; `None` for never.
    pub since_out: Option<i64>,
    /// Milliseconds since servers were taken away; `None` for never.
    pub since_in: Option<i64>,
    /// May servers be added?
    pub may_grow: bool,
    /// May servers be taken away?
    pub may_shrink: bool,
}

/// What a target tracking policy wishes for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Invocations a minute that one server shall have.
    pub target: f64,
    /// Milliseconds between two additions.
    pub out_cooldown: i64,
    /// Milliseconds between two changes, the second of which takes servers away.
    pub in_cooldown: i64,
    /// Never take servers away.
    pub never_shrink: bool,
}

/// Part of the target below which servers are taken away. Between it and the target nothing happens,
/// so that a rate at the edge does not make servers come and go.
const SHRINK_BELOW: f64 = 0.9;

/// The number of servers that a variant should have instead of its current one.
///
/// A policy wishes for `ceil(invocations / target)`; of several wishes the largest holds, so that no
/// policy undoes another's capacity. The bounds hold whatever the load is.
pub fn decide(situation: &Situation, wishes: &[Wish]) -> Option<u64> {
    let Situation { current, minimum, maximum, .. } = *situation;
    if !(minimum..=maximum).contains(&current) {
        return Some(current.clamp(minimum, maximum));
    }
    let wanted = wishes.iter().map(|wish| wished(situation, wish)).max()?;
    (wanted != current).then_some(wanted)
}

fn wished(situation: &Situation, wish: &Wish) -> u64 {
    let Situation { current, minimum, maximum, invocations, .. } = *situation;
    let needed = (invocations as f64 / wish.target).ceil();
    // Far beyond any maximum the conversion saturates.
    let needed = (needed as u64).clamp(minimum, maximum);
    let over = |since: Option<i64>, cooldown: i64| since.is_none_or(|since| since >= cooldown);
    if needed > current {
        let may = situation.may_grow && over(situation.since_out, wish.out_cooldown);
        return if may { needed } else { current };
    }
    let quiet = (invocations as f64) < SHRINK_BELOW * wish.target * current as f64;
    let cool = over(situation.since_in, wish.in_cooldown) && over(situation.since_out, wish.in_cooldown);
    let may = situation.may_shrink && !wish.never_shrink && situation.whole_minute && quiet && cool;
    if may { needed } else { current }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish =
        Wish { target: 100.0, out_cooldown: 60_000, in_cooldown: 300_000, never_shrink: false };

    fn with(current: u64, invocations: u64) -> Situation {
        Situation {
            current,
            minimum: 1,
            maximum: 8,
            invocations,
            whole_minute: true,
            since_out: None,
            since_in: None,
            may_grow: true,
            may_shrink: true,
        }
    }

    #[test]
    fn the_number_follows_the_load_within_its_bounds() {
        assert_eq!(decide(&with(1, 100), &[WISH]), None);
        assert_eq!(decide(&with(1, 101), &[WISH]), Some(2));
        assert_eq!(decide(&with(1, 1_000_000), &[WISH]), Some(8));
        assert_eq!(decide(&with(4, 150), &[WISH]), Some(2));
        assert_eq!(decide(&with(4, 0), &[WISH]), Some(1));
        // Two servers are enough for 185, but it is more than nine tenths of what two should have.
        assert_eq!(decide(&with(2, 185), &[WISH]), None);
    }

    #[test]
    fn bounds_hold_without_any_load_or_policy() {
        let narrow = Situation { minimum: 3, maximum: 4, ..with(1, 0) };
        assert_eq!(decide(&narrow, &[]), Some(3));
        assert_eq!(decide(&Situation { current: 9, ..with(9, 0) }, &[]), Some(8));
        assert_eq!(decide(&with(2, 0), &[]), None);
    }

    #[test]
    fn cooldowns_part_minutes_and_suspensions_hold_it_back() {
        assert_eq!(decide(&Situation { since_out: Some(59_999), ..with(1, 500) }, &[WISH]), None);
        assert_eq!(decide(&Situation { since_out: Some(60_000), ..with(1, 500) }, &[WISH]), Some(5));
        assert_eq!(decide(&Situation { since_out: Some(60_000), ..with(4, 0) }, &[WISH]), None);
        assert_eq!(decide(&Situation { since_in: Some(299_999), ..with(4, 0) }, &[WISH]), None);
        assert_eq!(decide(&Situation { whole_minute: false, ..with(4, 0) }, &[WISH]), None);
        assert_eq!(decide(&Situation { may_grow: false, ..with(1, 500) }, &[WISH]), None);
        assert_eq!(decide(&with(4, 0), &[Wish { never_shrink: true, ..WISH }]), None);
    }

    #[test]
    fn of_several_policies_the_largest_wish_holds() {
        let hungry = Wish { target: 10.0, ..WISH };
        assert_eq!(decide(&with(1, 50), &[WISH, hungry]), Some(5));
        assert_eq!(decide(&with(5, 50), &[WISH, hungry]), None);
    }
}
