//! What a user should know before the first epoch: settings that are known to destroy a model, data that cannot tell
//! how good it is.

use crate::TrainFailure;
use crate::contract::Log;
use crate::object2vec::dataset::{Dataset, SIDES, Tokens};
use crate::object2vec::hyperparameters::Hyperparameters;

/// From this weight decay on models are known to end as a constant. It is coupled to the gradient (L2) and pulls on
/// every weight in every batch.
const DESTRUCTIVE_DECAY: f64 = 0.1;

/// Writes a line at level WARNING for everything that looks like a mistake.
pub(super) fn write(
    log: &mut Log<'_>,
    h: &Hyperparameters,
    train: &Dataset,
    validation: Option<&Dataset>,
) -> Result<(), TrainFailure> {
    if h.weight_decay >= DESTRUCTIVE_DECAY {
        log.warning(format!(
            "weight_decay is {}. It is added to the gradient of every weight in every batch, and from about \
             {DESTRUCTIVE_DECAY} on models are known to end as a constant. Values that work lie between 0 and 0.001",
            h.weight_decay
        ))?;
    }
    let Some(validation) = validation else {
        return log.warning(
            "There is no validation channel: early stopping and the choice of the best epoch go by the training loss, \
             which falls even when the model learns the records by heart",
        );
    };
    for (side, key) in SIDES.into_iter().enumerate() {
        let vocab = h.encoders[side].vocab_size;
        let unseen = Unseen::count(vocab, &train.sides[side], &validation.sides[side]);
        if unseen.ids > 0 {
            log.warning(format!(
                "{} of {} ids that '{key}' has in the validation channel never occur in the train channel, in {} of {} \
                 records: the model knows nothing about them",
                unseen.ids,
                unseen.of,
                unseen.records,
                validation.len()
            ))?;
        }
    }
    Ok(())
}

/// Ids that one data set has and another has not.
#[derive(Debug, PartialEq)]
struct Unseen {
    /// Different ids that only the second set has, of so many that it has.
    ids: usize,
    of: usize,
    /// Records of the second set with at least one of them.
    records: usize,
}

impl Unseen {
    fn count(vocab: usize, known: &Tokens, checked: &Tokens) -> Self {
        /// Where an id was seen.
        const KNOWN: u8 = 1;
        const CHECKED: u8 = 2;
        let mut seen = vec![0; vocab];
        let lists = |tokens: &Tokens, f: &mut dyn FnMut(&[u32])| {
            (0..tokens.len()).for_each(|record| f(tokens.get(record)));
        };
        lists(known, &mut |list| list.iter().for_each(|&id| seen[id as usize] |= KNOWN));
        lists(checked, &mut |list| list.iter().for_each(|&id| seen[id as usize] |= CHECKED));
        let mut records = 0;
        lists(checked, &mut |list| {
            records += usize::from(list.iter().any(|&id| seen[id as usize] == CHECKED));
        });
        let of = seen.iter().filter(|&&flags| flags & CHECKED != 0).count();
        Self { ids: seen.iter().filter(|&&flags| flags == CHECKED).count(), of, records }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_records_are_counted() {
        let tokens = |lists: &[&[u32]]| {
            let mut tokens = Tokens::default();
            lists.iter().for_each(|list| tokens.push(list));
            tokens
        };
        let known = tokens(&[&[1, 2], &[3]]);
        let checked = tokens(&[&[1], &[4, 2, 4], &[5], &[4]]);
        assert_eq!(Unseen::count(9, &known, &checked), Unseen { ids: 2, of: 4, records: 3 });
        assert_eq!(Unseen::count(9, &known, &known), Unseen { ids: 0, of: 3, records: 0 });
    }
}
