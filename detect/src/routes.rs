//! What the config says of routes: `[[route]]` and OpenAPI files become templates that ingest reads paths by, and a table
//! `routes` that rules can join.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;
use tripline_ingest::route::{Template, Templates};

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::openapi::OpenApi;

/// The name of the table.
pub const TABLE: &str = "routes";

/// `[[route]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `/v1/users/{id}`.
    pub path: String,
    /// Only at this host.
    pub host: Option<String>,
    /// What it is worth.
    pub sensitivity: Option<Sensitivity>,
    /// The variables and query parameters that name the object; all variables and the recognised parameters otherwise.
    pub objects: Option<Vec<String>>,
}

/// What may be lost at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// What anybody may see: a catalogue.
    Low,
    /// In between.
    Medium,
    /// What nobody but its owner may see: profiles, invoices.
    High,
}

impl Sensitivity {
    fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Route {
    fn template(&self) -> Template {
        Template { host: self.host.clone(), path: self.path.clone(), objects: self.objects.clone() }
    }
}

/// What is wrong with the config's `[[route]]`s.
pub fn check(routes: &[Route], origin: &str, text: &str) -> Result<(), Diagnostic> {
    let templates: Vec<Template> = routes.iter().map(Route::template).collect();
    Templates::new(&templates, Vec::new()).map(drop).map_err(|(i, why)| {
        Diagnostic::at_word_after(origin, text, ("[[route]]", i), &routes[i].path, why)
            .with_help("a template is as path = \"/v1/users/{id}\"; `tripline routes` proposes some")
    })
}

/// The OpenAPI files that a config names, read.
#[derive(Debug, Clone, Default)]
pub struct Apis(BTreeMap<PathBuf, OpenApi>);

impl Apis {
    /// Reads them.
    pub fn read(config: &Config) -> Result<Self, Diagnostic> {
        let mut apis = Self::default();
        for path in config.openapi.iter().chain(config.sources.iter().filter_map(|s| s.openapi.as_ref())) {
            if !apis.0.contains_key(path) {
                apis.0.insert(path.clone(), OpenApi::read(path)?);
            }
        }
        Ok(apis)
    }

    /// What of them could not be used, and why.
    pub fn problems(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().flat_map(|(path, api)| api.problems.iter().map(|p| (path.as_path(), p.as_str())))
    }

    /// Templates for a source with these settings of its own: those of the config first, then the source's file, then the
    /// config's. `None`: there are none.
    pub fn templates(&self, config: &Config, own: Option<&Path>, params: &[String]) -> Option<Arc<Templates>> {
        let explicit: Vec<Template> = config.routes.iter().map(Route::template).collect();
        // (they were checked when the config was read)
        let templates = Templates::new(&explicit, params.to_owned()).ok()?;
        let files = own.into_iter().chain(config.openapi.as_deref()).filter_map(|path| self.0.get(path));
        let templates = files.fold(templates, |all, api| all.and(&api.templates()));
        (!templates.is_empty()).then(|| Arc::new(templates))
    }
}

/// The table `routes`: one row a route that the config or an OpenAPI file has.
///
/// `route`; `sensitivity` (`low`, `medium`, `high`, or NULL; the highest where hosts differ); `deprecated` (all operations of the route
/// are).
pub fn table(config: &Config, apis: &Apis) -> RecordBatch {
    let mut rows: BTreeMap<String, (Option<Sensitivity>, Option<bool>)> = BTreeMap::new();
    for route in &config.routes {
        let row = rows.entry(route.path.clone()).or_default();
        row.0 = row.0.max(route.sensitivity);
    }
    let explicit: Vec<Template> = config.routes.iter().map(|r| Template { host: None, ..r.template() }).collect();
    let explicit = Templates::default().and(&explicit);
    for operation in apis.0.values().flat_map(|api| &api.operations) {
        for route in &operation.routes {
            // A `[[route]]` that matches the same paths gives the route its name.
            let name = explicit.route(None, route).unwrap_or(route);
            let row = rows.entry(name.to_owned()).or_default();
            row.1 = Some(row.1.unwrap_or(true) && operation.deprecated);
        }
    }
    let sensitivity: StringViewArray = rows.values().map(|(s, _)| s.map(Sensitivity::name)).collect();
    let deprecated: BooleanArray = rows.values().map(|(_, d)| Some(d.unwrap_or(false))).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringViewArray::from_iter_values(rows.keys())), Arc::new(sensitivity), Arc::new(deprecated)];
    let schema = Schema::new(vec![
        Field::new("route", DataType::Utf8View, false),
        Field::new("sensitivity", DataType::Utf8View, true),
        Field::new("deprecated", DataType::Boolean, false),
    ]);
    let schema = Arc::new(schema);
    // (the columns are of the schema's types, and of one length)
    RecordBatch::try_new(Arc::clone(&schema), columns).unwrap_or_else(|_| RecordBatch::new_empty(schema))
}
