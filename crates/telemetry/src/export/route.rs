//! Sends each span under the resource of its service, all over one connection.

use super::owner::owner;
use super::resource;
use crate::Error;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;

/// The most services one process is expected to hold; spans of more go under
/// the configured one, so that a wrong field cannot grow the table.
const SERVICES_LIMIT: usize = 64;

#[derive(Debug)]
pub(super) struct RoutedExporter {
    service: String,
    channel: Channel,
    timeout: Duration,
    fallback: Arc<OtlpExporter>,
    exporters: Mutex<HashMap<String, Arc<OtlpExporter>>>,
}

impl RoutedExporter {
    pub(super) fn new(service: &str, channel: Channel, timeout: Duration) -> Result<Self, Error> {
        let fallback = Arc::new(build(service, channel.clone(), timeout)?);
        Ok(Self { service: service.to_owned(), channel, timeout, fallback, exporters: Mutex::default() })
    }

    fn exporter(&self, service: &str) -> Arc<OtlpExporter> {
        let mut known = self.exporters.lock();
        if let Some(exporter) = known.get(service) {
            return Arc::clone(exporter);
        }
        if service == self.service || known.len() >= SERVICES_LIMIT {
            return Arc::clone(&self.fallback);
        }
        let Ok(exporter) = build(service, self.channel.clone(), self.timeout).map(Arc::new) else {
            return Arc::clone(&self.fallback);
        };
        known.insert(service.to_owned(), Arc::clone(&exporter));
        exporter
    }
}

fn build(service: &str, channel: Channel, timeout: Duration) -> Result<OtlpExporter, Error> {
    let built = OtlpExporter::builder().with_tonic().with_channel(channel).with_timeout(timeout).build();
    let mut exporter = built.map_err(|e| Error::Exporter(e.to_string()))?;
    exporter.set_resource(&resource(service));
    Ok(exporter)
}

impl SpanExporter for RoutedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut groups: BTreeMap<String, Vec<SpanData>> = BTreeMap::new();
        for span in batch {
            let service = owner(&span).map_or_else(|| self.service.clone(), |v| v.as_str().into_owned());
            groups.entry(service).or_default().push(span);
        }
        let mut result = Ok(());
        for (service, spans) in groups {
            // One failing service must not cost the spans of the others.
            result = self.exporter(&service).export(spans).await.and(result);
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        for exporter in self.exporters.lock().values() {
            exporter.shutdown_with_timeout(timeout)?;
        }
        self.fallback.shutdown_with_timeout(timeout)
    }
}
