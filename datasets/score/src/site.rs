//! A simulated site: the log of its harmless traffic, in pieces, and what is to be known of it.

use crate::Common;
use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tripline_datasets::Format;
use tripline_datasets::world::plan::Plan;
use tripline_datasets::world::{CampaignTruth, World, confounders, families, incidents};

/// A piece of the log has about so many bytes before it is compressed.
const PIECE: usize = 64 << 20;
/// Clients with fewer requests a day are no client-day.
const CLIENT_DAY: u32 = 20;
const DAY: i64 = 86_400;

/// One seed's site.
pub struct Site {
    common: Common,
    seed: u64,
    folder: PathBuf,
    /// Deletes the folder in the end.
    _temporary: Option<tempfile::TempDir>,
    pub known: Known,
}

/// What is known of the harmless traffic.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Known {
    pub lines: u64,
    /// Clients with at least 20 requests, by day since the start.
    pub client_days: BTreeMap<i64, u64>,
    /// By the target of a campaign: what others ask for there.
    pub routes: BTreeMap<String, Organic>,
}

/// What harmless clients ask for on one route, after the first day.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Organic {
    pub requests: u64,
    /// Requests a second.
    pub rate: f64,
    /// Requests for an object that the client had not asked for before.
    pub new_to_client: u64,
    /// Requests for an object that nobody had asked for before.
    pub new_to_route: u64,
    /// Requests for the id after the client's last one.
    pub steps: u64,
}

impl Site {
    /// Simulates it, or takes what `--keep` has.
    pub fn new(common: &Common, seed: u64, span: SignedDuration) -> Result<Self> {
        let temporary = if common.keep.is_none() { Some(tempfile::tempdir()?) } else { None };
        let folder =
            common.keep.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_owned())).unwrap_or_default();
        let shape = if common.no_sweep { "middle" } else { "swept" };
        let name = format!("{shape}-{}-{seed}-{}h", common.rate, span.as_hours());
        let mut site = Self {
            common: common.clone(),
            seed,
            folder: folder.join(name),
            _temporary: temporary,
            known: Known::default(),
        };
        let notes = site.folder.join("known.json");
        if let Ok(text) = std::fs::read(&notes) {
            site.known =
                serde_json::from_slice(&text).with_context(|| format!("{}: not of this version", notes.display()))?;
        } else {
            std::fs::create_dir_all(&site.folder).with_context(|| format!("cannot write {}", site.folder.display()))?;
            site.known = site.simulate(span)?;
            std::fs::write(&notes, serde_json::to_vec(&site.known)?)?;
        }
        Ok(site)
    }

    fn world(&self, start: Timestamp, span: SignedDuration) -> World {
        World {
            seed: self.seed,
            start,
            duration: span,
            rate: self.common.rate,
            sweep: !self.common.no_sweep,
            confounders: confounders::ALL.iter().collect(),
            campaigns: Vec::new(),
            format: Format::Combined,
        }
    }

    /// The log begins on a Monday.
    pub fn start() -> Timestamp {
        "2026-03-02T00:00:00Z".parse().unwrap_or_default()
    }

    fn simulate(&self, span: SignedDuration) -> Result<Known> {
        let world = self.world(Self::start(), span);
        let mut pieces = Pieces { folder: self.folder.clone(), count: 0, bytes: 0, open: None };
        let mut observer = Observer::new(span);
        let truth = world.write_watched(&mut pieces, |_, line| observer.see(line)).map_err(io::Error::from);
        let truth = truth.and_then(|truth| pieces.close().map(|()| truth));
        let truth = truth.with_context(|| format!("cannot write {}", self.folder.display()))?;
        Ok(observer.known(truth.lines))
    }

    /// The files of the log, as patterns that `scan` understands, and their number.
    pub fn pieces(&self) -> Vec<PathBuf> {
        (0..usize::MAX).map(|nth| piece(&self.folder, nth)).take_while(|path| path.exists()).collect()
    }

    /// Writes a campaign's lines to a file of their own: JSON, with milliseconds.
    pub fn campaign(&self, plan: &Plan, path: &Path) -> Result<CampaignTruth> {
        let mut world = self.world(Self::start(), plan.start + plan.duration.unwrap_or(SignedDuration::from_hours(2)));
        world.rate = 0.0;
        world.confounders = Vec::new();
        world.campaigns = vec![plan.clone()];
        world.format = Format::Json;
        let mut out = zstd::Encoder::new(File::create(path)?, 1)?;
        let truth = world.write(&mut out).map_err(io::Error::from)?;
        out.finish()?;
        truth.campaigns.into_iter().next().with_context(|| format!("{} made no request", plan.name))
    }
}

fn piece(folder: &Path, nth: usize) -> PathBuf {
    folder.join(format!("{nth:05}.log.zst"))
}

/// A log in several files, each of whole lines.
struct Pieces {
    folder: PathBuf,
    count: usize,
    bytes: usize,
    open: Option<zstd::Encoder<'static, File>>,
}

impl Pieces {
    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |out| out.finish().map(drop))
    }
}

impl Write for Pieces {
    /// (the simulator hands on whole lines)
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.bytes >= PIECE {
            self.close()?;
            self.bytes = 0;
        }
        let out = match &mut self.open {
            Some(out) => out,
            closed => {
                let file = File::create(piece(&self.folder, self.count))?;
                self.count += 1;
                closed.insert(zstd::Encoder::new(file, 1)?)
            }
        };
        out.write_all(lines)?;
        self.bytes += lines.len();
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks at harmless lines as they are written.
struct Observer {
    seconds: i64,
    /// What stands before and after the varying part of each target.
    targets: Vec<(&'static str, &'static str, &'static str)>,
    routes: Vec<Route>,
    clients: HashMap<u64, u32>,
    day: i64,
    known: Known,
    hash: RandomState,
}

#[derive(Default)]
struct Route {
    organic: Organic,
    by_anybody: HashSet<u64>,
    by_client: HashSet<(u64, u64)>,
    last: HashMap<u64, u64>,
}

impl Observer {
    fn new(span: SignedDuration) -> Self {
        let mut targets: Vec<_> = families::all().chain(incidents::all()).map(|plan| plan.target).collect();
        targets.sort_unstable();
        targets.dedup();
        let split = |target: &'static str| {
            let (before, rest) = target.split_once('{').unwrap_or((target, ""));
            (target, before, rest.split_once('}').map_or("", |(_, after)| after))
        };
        let targets: Vec<_> = targets.into_iter().map(split).collect();
        Self {
            seconds: span.as_secs(),
            routes: targets.iter().map(|_| Route::default()).collect(),
            targets,
            clients: HashMap::new(),
            day: 0,
            known: Known::default(),
            hash: RandomState::new(),
        }
    }

    fn see(&mut self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        let Some((address, rest)) = line.split_once(' ') else { return };
        // The day of the month is enough: lines come in order.
        let client = self.hash.hash_one(key(address));
        let Some((time, rest)) = rest.split_once('[').and_then(|(_, rest)| rest.split_once("] \"")) else { return };
        let day = i64::from(time[..2].parse::<u8>().unwrap_or(0));
        if day != self.day {
            self.end_day();
            self.day = day;
        }
        *self.clients.entry(client).or_default() += 1;
        let Some(target) = rest.split(' ').nth(1) else { return };
        let learnt = self.known.client_days.len() > 1;
        for (place, &(_, before, after)) in self.targets.iter().enumerate() {
            let object = target.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            let Some(object) = object.filter(|object| !object.contains(['/', '?'])) else { continue };
            let route = &mut self.routes[place];
            let id = object.parse::<u64>().unwrap_or_else(|_| self.hash.hash_one(object));
            let (new_to_route, new_to_client) = (route.by_anybody.insert(id), route.by_client.insert((client, id)));
            let step = route.last.insert(client, id).is_some_and(|last| last.checked_add(1) == Some(id));
            if learnt {
                route.organic.requests += 1;
                route.organic.new_to_client += u64::from(new_to_client);
                route.organic.new_to_route += u64::from(new_to_route);
                route.organic.steps += u64::from(step);
            }
        }
    }

    /// (the day before the first is none)
    fn end_day(&mut self) {
        let number = self.known.client_days.len() as i64;
        if self.day != 0 {
            self.known.client_days.insert(number, self.clients.values().filter(|&&n| n >= CLIENT_DAY).count() as u64);
        }
        self.clients.clear();
    }

    fn known(mut self, lines: u64) -> Known {
        self.end_day();
        self.known.lines = lines;
        let counted = (self.seconds - 2 * DAY).max(1) as f64;
        for ((target, _, _), route) in self.targets.iter().zip(self.routes) {
            let rate = route.organic.requests as f64 / counted;
            self.known.routes.insert((*target).to_owned(), Organic { rate, ..route.organic });
        }
        self.known
    }
}

/// The client as Tripline keys it: the address, IPv6 cut to its /64.
pub fn key(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(ip)) => format!("{}/64", std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        _ => address.to_owned(),
    }
}
