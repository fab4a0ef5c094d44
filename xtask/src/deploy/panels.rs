//! What a Grafana dashboard is made of, and its JSON.

use anyhow::Result;
use serde_json::{Value, json};

/// A dashboard.
pub(super) struct Board {
    /// Its address in Grafana and the name of its file.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it answers.
    pub about: &'static str,
    /// Its panels, in rows of three.
    pub panels: &'static [Panel],
}

/// A panel.
pub(super) struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it says, for whoever sees it the first time.
    pub about: &'static str,
    /// The unit, as Grafana names it.
    pub unit: &'static str,
    /// Queries and what their series are called.
    pub queries: &'static [(&'static str, &'static str)],
    /// How it is drawn.
    pub form: Form,
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines over time.
    Lines,
    /// The latest value of each series.
    Numbers,
}

const COLUMNS: usize = 3;
const WIDTH: usize = 24 / COLUMNS;
const HEIGHT: usize = 8;

impl Board {
    /// The file Grafana reads.
    pub(super) fn json(&self) -> Result<String> {
        let panels: Vec<_> = self.panels.iter().enumerate().map(|(at, panel)| panel.json(at)).collect();
        let board = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["probity"],
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "schemaVersion": 39,
            "time": { "from": "now-1h", "to": "now" },
            "templating": { "list": [datasource(), service()] },
            "links": [{ "type": "dashboards", "tags": ["probity"], "title": "Probity", "asDropdown": true, "keepTime": true }],
            "panels": panels,
        });
        Ok(serde_json::to_string_pretty(&board)? + "\n")
    }
}

impl Panel {
    fn json(&self, at: usize) -> Value {
        let source = json!({ "type": "prometheus", "uid": "${datasource}" });
        let targets: Vec<_> = self
            .queries
            .iter()
            .zip('A'..='Z')
            .map(|((query, legend), id)| {
                json!({ "refId": id.to_string(), "expr": query, "legendFormat": legend, "datasource": source })
            })
            .collect();
        let kind = match self.form {
            Form::Lines => "timeseries",
            Form::Numbers => "stat",
        };
        json!({
            "id": at + 1,
            "type": kind,
            "title": self.title,
            "description": self.about,
            "datasource": source,
            "gridPos": { "h": HEIGHT, "w": WIDTH, "x": at % COLUMNS * WIDTH, "y": at / COLUMNS * HEIGHT },
            "fieldConfig": { "defaults": { "unit": self.unit, "min": 0 }, "overrides": [] },
            "targets": targets,
        })
    }
}

fn datasource() -> Value {
    json!({ "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" })
}

fn service() -> Value {
    json!({
        "name": "service",
        "label": "Service",
        "type": "query",
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "query": { "query": "label_values(rpc_server_active_requests, service)", "refId": "service" },
        "includeAll": true,
        "multi": true,
        "allValue": ".+",
        "current": { "text": "All", "value": "$__all" },
        "refresh": 2,
    })
}
