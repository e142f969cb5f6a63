//! Decides which endpoint of a sink comes next (RFC 2782).
//!
//! The lowest priority number that is ready wins. Within one priority the choice is drawn by weight and
//! then kept while it works: a warm connection is worth more than an even spread of one device's requests,
//! and a fleet is spread over its devices.

/// What the choice needs to know of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    pub priority: u16,
    pub weight: u16,
    /// Whether its breaker is open and the wait is over, so that a probe may be sent.
    pub due: bool,
    /// Whether it was drawn before and is in use.
    pub current: bool,
}

/// Returns the indexes of the candidates in the order in which they are asked whether they are ready.
///
/// Within a priority those that are due come first: otherwise an endpoint that failed once would stay out
/// for as long as its peers work. The one in use follows, and then the others, drawn by weight.
pub fn order(candidates: &[Candidate], rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(candidates.len());
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    while !left.is_empty() {
        let at = draw(candidates, &left, rng);
        drawn.push(left.swap_remove(at));
    }
    drawn.sort_by_key(|at| {
        let Candidate { priority, due, current, .. } = candidates[*at];
        (priority, !due, !current)
    });
    drawn
}

/// Draws an index into `left`, with a chance in proportion to the weight. A weight of 0 gives a small
/// chance.
fn draw(candidates: &[Candidate], left: &[usize], rng: &mut fastrand::Rng) -> usize {
    // This is the running sum of the RFC, but without its order, which puts weights of 0 in front: here 0
    // counts as a hundredth of 1.
    let share = |at: &usize| match candidates[*at].weight {
        0 => 1,
        weight => 100 * u64::from(weight),
    };
    let mut number = rng.u64(0..left.iter().map(share).sum());
    for (place, at) in left.iter().enumerate() {
        match number.checked_sub(share(at)) {
            Some(rest) => number = rest,
            None => return place,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(priority: u16, weight: u16) -> Candidate {
        Candidate { priority, weight, ..Candidate::default() }
    }

    #[test]
    fn the_lowest_priority_number_comes_first() {
        let candidates = [candidate(10, 9), candidate(0, 1), candidate(5, 0)];
        for seed in 0..100 {
            let order = order(&candidates, &mut fastrand::Rng::with_seed(seed));
            assert_eq!(order, [1, 2, 0]);
        }
    }

    #[test]
    fn within_a_priority_the_weight_decides_how_often() {
        let candidates = [candidate(0, 30), candidate(0, 10), candidate(0, 0)];
        let mut rng = fastrand::Rng::with_seed(4);
        let mut firsts = [0; 3];
        (0..10_000).for_each(|_| firsts[order(&candidates, &mut rng)[0]] += 1);
        assert!((7300..7700).contains(&firsts[0]), "{firsts:?}");
        assert!((2300..2700).contains(&firsts[1]), "{firsts:?}");
        assert!((1..20).contains(&firsts[2]), "a weight of 0 is a small chance: {firsts:?}");
    }

    #[test]
    fn a_choice_is_kept_and_one_that_is_due_is_probed_before_it() {
        let mut candidates = [candidate(0, 1), candidate(0, 1), candidate(0, 100)];
        candidates[1].current = true;
        let mut rng = fastrand::Rng::with_seed(4);
        (0..100).for_each(|_| assert_eq!(order(&candidates, &mut rng)[0], 1));
        candidates[0].due = true;
        (0..100).for_each(|_| assert_eq!(order(&candidates, &mut rng)[..2], [0, 1]));
    }

    #[test]
    fn one_that_is_due_never_passes_a_lower_number() {
        let mut candidates = [candidate(1, 1), candidate(0, 1)];
        candidates[0].due = true;
        assert_eq!(order(&candidates, &mut fastrand::Rng::with_seed(1)), [1, 0]);
    }

    #[test]
    fn nobody_is_no_order() {
        assert!(order(&[], &mut fastrand::Rng::with_seed(1)).is_empty());
    }
}
