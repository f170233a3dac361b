//! Checkpoint rows: small values in the state file, large ones in segments, of which the state file is the manifest.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, Transaction, params};

use crate::segments::{Place, Segment, Segments};

/// Values of at least this many bytes go to a segment.
const LARGE: usize = 4 * 1024;
/// More segments than this are merged, the smallest first: each costs an open file at a restart.
const MAX_SEGMENTS: usize = 128;
/// The most that one commit copies, bytes, unless a single segment holds more.
const MAX_COPY: i64 = 16 << 20;

/// A checkpoint row as it is read: key and value.
pub type CheckpointRow = (Vec<u8>, Vec<u8>);

/// The checkpoint rows of an owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Those that can be read, in the order of their keys.
    pub rows: Vec<CheckpointRow>,
    /// Those that cannot, in the order of their keys. They stay until they are deleted or written again.
    pub lost: Vec<LostRow>,
}

/// A checkpoint row whose value is damaged or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRow {
    /// Its key.
    pub key: Vec<u8>,
    /// Which file, and what is wrong.
    pub reason: String,
}

/// A checkpoint row to write. `space` keeps the keys of different owners apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Whose row it is.
    pub space: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Put {
    /// Whether the value goes to a segment.
    pub(crate) fn is_large(&self) -> bool {
        self.value.len() >= LARGE
    }
}

/// Checkpoint rows to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// One row, if there is one.
    Key {
        /// Whose row it is.
        space: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
    /// All rows of an owner.
    Space(&'static str),
}

/// A value that is copied to the next segment.
#[derive(Debug)]
pub(crate) struct Move {
    rowid: i64,
    pub(crate) value: Vec<u8>,
}

pub(crate) fn read(db: &Connection, segments: &Segments, space: &str) -> rusqlite::Result<Checkpoint> {
    let mut checkpoint = Checkpoint::default();
    let mut reader = segments.reader();
    let mut select = db.prepare_cached(
        "SELECT segment, offset, length, checksum, key, value FROM checkpoint WHERE space = ?1 ORDER BY key",
    )?;
    let mut rows = select.query([space])?;
    while let Some(row) = rows.next()? {
        let key = row.get(4)?;
        match place(row)?.map(|place| reader.read(place)) {
            None => checkpoint.rows.push((key, row.get(5)?)),
            Some(Ok(value)) => checkpoint.rows.push((key, value)),
            Some(Err(reason)) => checkpoint.lost.push(LostRow { key, reason }),
        }
    }
    Ok(checkpoint)
}

/// The segments that the state file lists.
pub(crate) fn listed(db: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    db.prepare("SELECT number FROM segment")?.query_map([], |row| row.get(0))?.collect()
}

/// What the next segment should take over so that old ones can go. A segment with a row that cannot be read is left as it is
/// and added to `unreadable`.
pub(crate) fn moves(
    db: &Connection,
    segments: &Segments,
    unreadable: &mut BTreeSet<i64>,
) -> rusqlite::Result<Vec<Move>> {
    let mut usage = db.prepare_cached(
        "SELECT number, bytes, coalesce(live, 0) FROM segment LEFT JOIN
         (SELECT segment, sum(length) AS live FROM checkpoint WHERE segment IS NOT NULL GROUP BY segment) ON segment = number",
    )?;
    let usage = usage.query_map([], |row| Ok(Usage { number: row.get(0)?, bytes: row.get(1)?, live: row.get(2)? }))?;
    let usage: Vec<Usage> = usage.collect::<rusqlite::Result<_>>()?;
    let mut moves = Vec::new();
    for number in emptiest(usage.into_iter().filter(|u| !unreadable.contains(&u.number)).collect()) {
        let mut select =
            db.prepare_cached("SELECT segment, offset, length, checksum, rowid FROM checkpoint WHERE segment = ?1")?;
        let places: Vec<(Option<Place>, i64)> =
            select.query_map([number], |row| Ok((place(row)?, row.get(4)?)))?.collect::<rusqlite::Result<_>>()?;
        let mut reader = segments.reader();
        let copy = |(place, rowid): (Option<Place>, i64)| Some(Move { rowid, value: reader.read(place?).ok()? });
        match places.into_iter().map(copy).collect::<Option<Vec<Move>>>() {
            Some(all) => moves.extend(all),
            None => drop(unreadable.insert(number)),
        }
    }
    Ok(moves)
}

/// Writes a commit's rows. `segment` holds the values of `moves`, then the large ones of `puts`. Returns the segments that
/// nothing is left in.
pub(crate) fn write(
    db: &Transaction<'_>,
    deletes: &[Delete],
    puts: &[Put],
    moves: &[Move],
    segment: Option<&Segment>,
) -> rusqlite::Result<Vec<i64>> {
    if let Some(segment) = segment {
        db.prepare_cached("INSERT INTO segment (number, bytes) VALUES (?1, ?2)")?
            .execute([segment.number, segment.bytes])?;
    }
    let mut places = segment.map_or(&[][..], |s| &s.places).iter();
    let mut update = db.prepare_cached("UPDATE checkpoint SET segment = ?1, offset = ?2 WHERE rowid = ?3")?;
    for (moved, place) in moves.iter().zip(&mut places) {
        update.execute([place.segment, place.offset, moved.rowid])?;
    }
    for delete in deletes {
        match delete {
            Delete::Key { space, key } => db
                .prepare_cached("DELETE FROM checkpoint WHERE space = ?1 AND key = ?2")?
                .execute(params![space, key])?,
            Delete::Space(space) => db.prepare_cached("DELETE FROM checkpoint WHERE space = ?1")?.execute([space])?,
        };
    }
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO checkpoint (space, key, value, segment, offset, length, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for put in puts {
        let place = if put.is_large() { places.next() } else { None };
        let value = if place.is_some() { &[][..] } else { &put.value };
        let of = |number: fn(&Place) -> i64| place.map(number);
        insert.execute(params![
            put.space,
            put.key,
            value,
            of(|p| p.segment),
            of(|p| p.offset),
            of(|p| p.length),
            of(|p| p.checksum)
        ])?;
    }
    db.prepare_cached(
        "DELETE FROM segment WHERE NOT EXISTS (SELECT 1 FROM checkpoint WHERE segment = number) RETURNING number",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// From a row that begins with a place's columns. `None`: the value is in the row.
fn place(row: &Row<'_>) -> rusqlite::Result<Option<Place>> {
    let Some(segment) = row.get(0)? else { return Ok(None) };
    Ok(Some(Place { segment, offset: row.get(1)?, length: row.get(2)?, checksum: row.get(3)? }))
}

/// A segment and how much of it is still in use, bytes.
#[derive(Debug, Clone, Copy)]
struct Usage {
    number: i64,
    bytes: i64,
    live: i64,
}

/// Which segments to copy: the emptiest, until at least half of the bytes on disk are in use; the smallest, until there
/// are not too many.
fn emptiest(mut segments: Vec<Usage>) -> Vec<i64> {
    let sum = |of: fn(&Usage) -> i64| segments.iter().map(of).fold(0, i64::saturating_add);
    let (mut bytes, live) = (sum(|s| s.bytes), sum(|s| s.live));
    let wasted = |bytes: i64| bytes / 2 > live;
    if wasted(bytes) {
        segments.sort_by_key(|s| s.live.saturating_mul(1024) / s.bytes.max(1));
    } else {
        segments.sort_by_key(|s| s.live);
    }
    let mut excess = segments.len().saturating_sub(MAX_SEGMENTS);
    let mut copied = 0;
    let mut chosen = Vec::new();
    for segment in segments {
        let needed = wasted(bytes) || excess > 0;
        if !needed || (copied > 0 && copied + segment.live > MAX_COPY) {
            break;
        }
        bytes -= segment.bytes - segment.live;
        excess = excess.saturating_sub(1);
        copied += segment.live;
        chosen.push(segment.number);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(segments: &[(i64, i64)]) -> Vec<i64> {
        let usage = |(number, &(bytes, live))| Usage { number, bytes, live };
        emptiest((0..).zip(segments).map(usage).collect())
    }

    #[test]
    fn the_emptiest_are_copied_until_half_is_in_use() {
        assert!(chosen(&[]).is_empty());
        assert!(chosen(&[(1000, 600), (1000, 500)]).is_empty(), "enough is in use");
        assert_eq!(chosen(&[(1000, 900), (1000, 10), (1000, 20), (1000, 30)]), [1, 2, 3]);
        assert_eq!(chosen(&[(100, 90), (1_000_000, 4000)]), [1], "the emptiest, not the smallest");
    }

    #[test]
    fn one_commit_copies_only_so_much() {
        let large = (100 << 20, 10 << 20);
        assert_eq!(chosen(&[large, large, large]), [0]);
        assert_eq!(chosen(&[(1000 << 20, 100 << 20)]), [0], "but one, however large");
    }

    #[test]
    fn too_many_are_merged_the_smallest_first() {
        let mut segments = vec![(5000, 5000); MAX_SEGMENTS];
        assert!(chosen(&segments).is_empty());
        segments.push((4100, 4100));
        assert_eq!(chosen(&segments), [i64::try_from(MAX_SEGMENTS).unwrap()]);
    }
}
