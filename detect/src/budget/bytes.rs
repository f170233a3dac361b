//! Evidence as bytes, for the state's transaction.

use std::collections::BTreeMap;

use super::evidence::{Against, Evidence, MOST_ENTITIES};

/// The first byte: how the rest is written.
const VERSION: u8 = 1;

/// Everything but the budget and the window, which the rule says.
pub fn write(evidence: &Evidence) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(evidence.today.to_le_bytes());
    bytes.extend(evidence.tested.iter().flat_map(|n| n.to_le_bytes()));
    for classes in [&evidence.history.before, &evidence.history.today] {
        bytes.extend((classes.len() as u64).to_le_bytes());
        for (class, n) in classes {
            bytes.extend(class.to_le_bytes());
            bytes.extend(n.to_le_bytes());
        }
    }
    for (entity, against) in &evidence.entities {
        bytes.extend(entity.to_le_bytes());
        bytes.extend([against.day, against.week, against.ever].iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(against.tested.to_le_bytes());
    }
    bytes
}

/// Puts back what [`write`] gave. `None`: it is something else, and nothing was changed.
pub fn read(bytes: &[u8], evidence: &mut Evidence) -> Option<()> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    let mut read = evidence.clone();
    read.today = i64::from_le_bytes(take(&mut rest)?);
    for n in &mut read.tested {
        *n = u64::from_le_bytes(take(&mut rest)?);
    }
    for classes in [&mut read.history.before, &mut read.history.today] {
        *classes = BTreeMap::new();
        for _ in 0..u64::from_le_bytes(take(&mut rest)?) {
            classes.insert(i32::from_le_bytes(take(&mut rest)?), number(&mut rest)?);
        }
    }
    read.entities = BTreeMap::new();
    while !rest.is_empty() && read.entities.len() <= 2 * MOST_ENTITIES {
        let entity = u128::from_le_bytes(take(&mut rest)?);
        let (day, week, ever) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        read.entities.insert(entity, Against { day, week, ever, tested: i64::from_le_bytes(take(&mut rest)?) });
    }
    *evidence = read;
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, more) = rest.split_first_chunk::<N>()?;
    *rest = more;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<f64> {
    Some(f64::from_le_bytes(take(rest)?)).filter(|x| x.is_finite() && *x >= 0.0)
}
