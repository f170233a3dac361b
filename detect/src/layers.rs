//! `layer` of sources and `[layers]`: of the layers that log the same requests, which one's rows count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use tripline_ingest::Layer;

use crate::config::Source;
use crate::diagnostic::Diagnostic;

/// `[layers]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    /// The layer whose rows count, where `hosts` says nothing else.
    pub default: Option<String>,
    /// The layer whose rows count, by host.
    pub hosts: BTreeMap<String, String>,
}

impl Layers {
    /// What is wrong with them, beside the sources.
    pub fn check(&self, sources: &[Source], origin: &str, text: &str) -> Result<(), Diagnostic> {
        let known: BTreeSet<&str> = sources.iter().filter_map(|s| s.layer.as_deref()).collect();
        let names = known.iter().copied().collect::<Vec<_>>().join(", ");
        if let (None, Some(layer)) = (&self.default, known.first()) {
            let message = "which layer's rows count is not said: all would count more than once";
            return Err(Diagnostic::at_word_after(origin, text, ("layer", 0), layer, message)
                .with_help(format!("add [layers] default = \"{layer}\"; layers here: {names}")));
        }
        match self.default.iter().chain(self.hosts.values()).find(|layer| !known.contains(layer.as_str())) {
            Some(layer) => Err(Diagnostic::at_word_after(
                origin,
                text,
                ("[layers]", 0),
                layer,
                format!("no source has the layer {layer:?}"),
            )
            .with_help(format!("layers here: {}", if names.is_empty() { "none" } else { &names }))),
            None => Ok(()),
        }
    }

    /// Which rows of a source with this layer count.
    pub fn of(&self, layer: Option<&str>) -> Option<Arc<Layer>> {
        let (layer, default) = (layer?, self.default.as_deref()?);
        let counts = layer == default;
        let others = self.hosts.iter().filter(|(_, of_host)| (layer == *of_host) != counts);
        let others = others.map(|(host, _)| host.to_ascii_lowercase()).collect();
        Some(Arc::new(Layer { counts, others }))
    }
}
