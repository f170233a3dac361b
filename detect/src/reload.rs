//! Rules that change while `run` runs: noticing it, and making a new set that can take the place of the old one.
//!
//! The config is read once, at the start; rules and lookups are read again. What is wrong is told, and costs as little as it
//! can: a rule whose file holds no rule any more, or one that cannot run, stays in force as it was; so does a lookup.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tripline_ingest::Wake;

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::engine::Engine;
use crate::lookups::Lookups;
use crate::rules::Rule;
use crate::setup::{RuleFiles, Setup};

/// A file as it lies there: size, time of its last change (s, ns), inode.
type Stamp = (u64, i64, i64, u64);

/// How the files lie there.
type Snapshot = BTreeMap<PathBuf, Stamp>;

/// Notices changes of the rules' and lookups' files.
pub struct RuleWatcher {
    /// Folders and files of rules.
    rules: Vec<PathBuf>,
    /// Files of lookups.
    lookups: Vec<PathBuf>,
    /// As they were when they were loaded last.
    loaded: Snapshot,
    /// As they were at the last look, if that was different.
    seen: Option<Snapshot>,
    _wake: Wake,
}

impl RuleWatcher {
    /// Watches what `files` and `config` name; they have just been loaded. Calls `hint`, from a thread of its own, whenever
    /// something may have changed. (A hint only: look from time to time as well.)
    pub fn new(files: &RuleFiles, config: &Config, hint: impl Fn() + Send + 'static) -> Self {
        let rules: Vec<PathBuf> = files.rules.iter().chain(&config.rules.dirs).cloned().collect();
        let tables = config.lookups.iter().map(|l| &l.path);
        let of_addresses = config.networks.values().chain(&config.mmdb.asn).chain(&config.mmdb.country);
        let lookups: Vec<PathBuf> = tables.chain(of_addresses).cloned().collect();
        let patterns: Vec<String> = rules.iter().chain(&lookups).map(|p| p.display().to_string()).collect();
        let (wake, problems) = Wake::new(&patterns, hint);
        for problem in problems {
            tracing::info!("no change notifications for {}: {}", problem.path.display(), problem.what);
        }
        let mut watcher = Self { rules, lookups, loaded: Snapshot::new(), seen: None, _wake: wake };
        watcher.loaded = watcher.snapshot();
        watcher
    }

    /// Looks, and returns whether to load anew: something is not as it was loaded, and is as it was at the last look. (Editors
    /// and deployments write in several steps.)
    pub fn changed(&mut self) -> bool {
        let now = self.snapshot();
        settle(&mut self.loaded, &mut self.seen, now)
    }

    /// A change was seen that is not yet settled: look again soon.
    pub fn is_unsettled(&self) -> bool {
        self.seen.is_some()
    }

    fn snapshot(&self) -> Snapshot {
        let rules = self.rules.iter().flat_map(|path| tripline_ingest::discover(&path.display().to_string()).files);
        let rules = rules.filter(|file| file.extension().is_some_and(|e| e == "sql"));
        let stamp = |path: PathBuf| {
            let m = std::fs::metadata(&path).ok()?;
            Some((path, (m.len(), m.mtime(), m.mtime_nsec(), m.ino())))
        };
        rules.chain(self.lookups.iter().cloned()).filter_map(stamp).collect()
    }
}

/// See [`RuleWatcher::changed`].
fn settle(loaded: &mut Snapshot, seen: &mut Option<Snapshot>, now: Snapshot) -> bool {
    if now == *loaded {
        *seen = None;
        return false;
    }
    if seen.as_ref() != Some(&now) {
        *seen = Some(now);
        return false;
    }
    *loaded = now;
    *seen = None;
    true
}

/// The rules in force, and what to do when their files change.
pub struct Reloader {
    files: RuleFiles,
    config: Config,
    rules: Vec<Rule>,
    lookups: Lookups,
    watcher: Option<RuleWatcher>,
    /// The config's text when it was last looked at.
    text: Option<String>,
}

/// A set of rules that can take the place of the one before.
#[derive(Debug)]
pub struct Reloaded {
    /// The new set; all of its rules can run.
    pub setup: Setup,
    /// Against the set before.
    pub difference: Difference,
    /// Names of the lookups whose rows are others.
    pub lookups: Vec<String>,
}

impl Reloader {
    /// For rules that were loaded from `files`.
    pub fn new(files: RuleFiles, setup: &Setup) -> Self {
        let Setup { config, rules, lookups, .. } = setup;
        let text = files.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        Self { files, config: config.clone(), rules: rules.clone(), lookups: lookups.clone(), watcher: None, text }
    }

    /// The lookups in force.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// Begins to watch; `hint` as in [`RuleWatcher::new`].
    pub fn watch(&mut self, hint: impl Fn() + Send + 'static) {
        self.watcher = Some(RuleWatcher::new(&self.files, &self.config, hint));
    }

    /// Says so if the config is another now: it is read once, at the start.
    fn look_at_config(&mut self) {
        let Some(path) = &self.files.config else { return };
        let Ok(now) = std::fs::read_to_string(path) else { return };
        if self.text.as_ref() != Some(&now) {
            let sections = sections_that_differ(self.text.as_deref().unwrap_or_default(), &now);
            self.text = Some(now);
            if !sections.is_empty() {
                let config = path.display();
                tracing::warn!("{config} has changed in {}: that takes effect at the next start", sections.join(", "));
            }
        }
    }

    /// Looks at the files. `Some` if they have changed; what is wrong with them is told here.
    pub async fn poll(&mut self) -> Option<Reloaded> {
        self.look_at_config();
        if !self.watcher.as_mut()?.changed() {
            return None;
        }
        let setup = match load(&self.files, &self.config, &self.rules, &self.lookups).await {
            Ok(setup) => setup,
            Err(problem) => {
                tracing::warn!("the rules have changed, but cannot be used; those in force stay:\n{problem}");
                return None;
            }
        };
        for problem in &setup.problems {
            tracing::warn!("in what has changed (what it replaces stays in force):\n{problem}");
        }
        let difference = Difference::between(&self.rules, &setup.rules);
        let lookups = self.lookups.differing(&setup.lookups);
        self.rules.clone_from(&setup.rules);
        self.lookups.clone_from(&setup.lookups);
        (!difference.is_empty() || !lookups.is_empty()).then_some(Reloaded { setup, difference, lookups })
    }
}

/// Which sections of a config differ; one that is no TOML differs as a whole.
fn sections_that_differ(before: &str, after: &str) -> Vec<String> {
    let read = |text: &str| toml::from_str::<toml::Table>(text);
    let (Ok(before), Ok(after)) = (read(before), read(after)) else { return vec!["a part that cannot be read".into()] };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(|name| format!("[{name}]")).collect()
}

/// Loads everything anew and plans it. `rules` and `lookups` are those in force; `config` as it was read at the start. The
/// rules of the result all can run. `Err`: nothing can be used, the old set stays as a whole.
pub async fn load(files: &RuleFiles, config: &Config, rules: &[Rule], lookups: &Lookups) -> Result<Setup, Diagnostic> {
    let mut setup = files.load_with(config.clone(), rules)?;
    setup.lookups.fill_from(lookups, &config.lookups);
    // At most twice: a rule that cannot run is first replaced by what it was, then left out.
    for fallback in [rules, &[]] {
        let (_, broken) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
        if broken.is_empty() {
            break;
        }
        setup.rules = setup.rules.into_iter().filter_map(|rule| instead(rule, &broken, fallback)).collect();
        setup.problems.extend(broken);
    }
    setup.problems.dedup();
    Ok(setup)
}

/// `rule`, or if it is broken what it was before, if it was another.
fn instead(rule: Rule, broken: &[Diagnostic], fallback: &[Rule]) -> Option<Rule> {
    if !broken.iter().any(|problem| problem.origin == rule.origin) {
        return Some(rule);
    }
    fallback.iter().find(|old| old.id == rule.id && old.text != rule.text).cloned()
}

/// The ids that are new, changed and gone from one set of rules to another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ids that were not there.
    pub added: Vec<String>,
    /// Ids whose text or parameters are others.
    pub changed: Vec<String>,
    /// Ids that are no more.
    pub removed: Vec<String>,
}

impl Difference {
    /// Whether the sets are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// From `old` to `new`.
    pub fn between(old: &[Rule], new: &[Rule]) -> Self {
        let find = |rules: &[Rule], id: &str| rules.iter().position(|r| r.id == id);
        let mut difference = Self::default();
        for rule in new {
            match find(old, &rule.id) {
                None => difference.added.push(rule.id.clone()),
                Some(i) if old[i].text != rule.text || old[i].params != rule.params => {
                    difference.changed.push(rule.id.clone());
                }
                Some(_) => {}
            }
        }
        difference.removed = old.iter().filter(|r| find(new, &r.id).is_none()).map(|r| r.id.clone()).collect();
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn rule(threshold: u32) -> String {
        format!(
            "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, count(*) AS n \
             FROM tumble(requests, ts, INTERVAL '1 minute') WHERE client NOT IN (SELECT client FROM allow) \
             GROUP BY window_start, window_end, client HAVING count(*) > {threshold}"
        )
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A folder with the rules `one` and `two`, a lookup, and a config that disables the shipped rules.
    fn site() -> (tempfile::TempDir, RuleFiles) {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("rules/one/rule.sql"), &rule(1));
        write(&folder.path().join("rules/two/rule.sql"), &rule(2));
        write(&folder.path().join("allow.csv"), "client\n192.0.2.1\n");
        let config =
            "[rules]\ndirs = [\"rules\"]\ndisable = [\"*/*\"]\n[[lookup]]\nname = \"allow\"\npath = \"allow.csv\"\n";
        write(&folder.path().join("tripline.toml"), config);
        let files = RuleFiles { config: Some(folder.path().join("tripline.toml")), ..RuleFiles::default() };
        (folder, files)
    }

    #[test]
    fn a_change_is_seen_once_it_has_settled() {
        let (folder, files) = site();
        let config = files.load().unwrap().config;
        let mut watcher = RuleWatcher::new(&files, &config, || {});
        assert!(!watcher.changed() && !watcher.is_unsettled());
        let one = folder.path().join("rules/one/rule.sql");
        fs::write(&one, "half").unwrap();
        assert!(!watcher.changed() && watcher.is_unsettled());
        fs::write(&one, rule(10)).unwrap();
        assert!(!watcher.changed());
        assert!(watcher.changed());
        assert!(!watcher.changed() && !watcher.is_unsettled());
        // A new rule, one that is gone, another lookup; what is no rule is not looked at.
        let changes: [&dyn Fn(); 3] = [
            &|| write(&folder.path().join("rules/deep/three/rule.sql"), &rule(3)),
            &|| fs::remove_file(&one).unwrap(),
            &|| write(&folder.path().join("allow.csv"), "client\n192.0.2.1\n192.0.2.2\n"),
        ];
        for change in changes {
            change();
            assert!(!watcher.changed());
            assert!(watcher.changed());
        }
        write(&folder.path().join("rules/two/tests/a.log"), "a line");
        assert!(!watcher.changed() && !watcher.is_unsettled());
    }

    #[test]
    fn a_change_that_is_undone_is_none() {
        let stamp = |n: u64| Snapshot::from([(PathBuf::from("a"), (n, 0, 0, 0))]);
        let (mut loaded, mut seen) = (stamp(1), None);
        assert!(!settle(&mut loaded, &mut seen, stamp(2)));
        assert!(!settle(&mut loaded, &mut seen, stamp(1)));
        assert!(seen.is_none());
        assert!(!settle(&mut loaded, &mut seen, stamp(2)));
        assert!(settle(&mut loaded, &mut seen, stamp(2)));
        assert_eq!(loaded, stamp(2));
    }

    #[test]
    fn a_change_is_announced() {
        let (folder, files) = site();
        let config = files.load().unwrap().config;
        let (told, hints) = std::sync::mpsc::channel();
        let _watcher = RuleWatcher::new(&files, &config, move || {
            let _ = told.send(());
        });
        write(&folder.path().join("rules/one/rule.sql"), &rule(10));
        hints.recv_timeout(std::time::Duration::from_mins(1)).unwrap();
    }

    async fn reload(files: &RuleFiles, now: &Setup) -> Setup {
        load(files, &now.config, &now.rules, &now.lookups).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_broken_stays_as_it_was() {
        let (folder, files) = site();
        let now = files.load().unwrap();
        let one = folder.path().join("rules/one/rule.sql");
        fs::write(folder.path().join("rules/two/rule.sql"), rule(20)).unwrap();
        for broken in ["/* title", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT client FROM requests"] {
            fs::write(&one, broken).unwrap();
            let new = reload(&files, &now).await;
            let difference = Difference::between(&now.rules, &new.rules);
            assert_eq!(difference, Difference { changed: vec!["two".into()], ..Difference::default() }, "{broken}");
            assert!(new.problems.len() == 1 && new.problems[0].origin.contains("one/rule.sql"), "{:?}", new.problems);
        }
        // A file that is gone is no mistake.
        fs::remove_file(&one).unwrap();
        let new = reload(&files, &now).await;
        assert_eq!(Difference::between(&now.rules, &new.rules).removed, ["one"]);
        assert_eq!(new.problems, []);
    }

    #[tokio::test]
    async fn a_new_rule_that_cannot_run_is_left_out() {
        let (folder, files) = site();
        let now = files.load().unwrap();
        write(&folder.path().join("rules/three/rule.sql"), &rule(3).replace("FROM allow", "FROM deny"));
        let new = reload(&files, &now).await;
        assert_eq!(Difference::between(&now.rules, &new.rules), Difference::default());
        assert!(
            new.problems.iter().map(ToString::to_string).any(|p| p.contains("deny") && p.contains("lookup")),
            "{:?}",
            new.problems
        );
    }

    #[tokio::test]
    async fn a_lookup_that_cannot_be_read_stays_as_it_was() {
        let (folder, files) = site();
        let now = files.load().unwrap();
        let rows = |setup: &Setup| {
            let allowed = setup.lookups.iter().filter(|(name, _)| *name == "allow");
            allowed.map(|(_, l)| l.rows.num_rows()).collect::<Vec<_>>()
        };
        write(&folder.path().join("allow.csv"), "client\na\nb\n");
        let new = reload(&files, &now).await;
        assert_eq!(rows(&new), [2]);
        write(&folder.path().join("allow.csv"), "client\na,b\n");
        let new = reload(&files, &new).await;
        assert_eq!((rows(&new), new.rules.len()), (vec![2], 2));
        assert!(new.problems.len() == 1 && new.problems[0].to_string().contains("allow.csv:2"), "{:?}", new.problems);
    }
}
