//! The metrics of the orchestrator.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// All of them.
pub(crate) struct Metrics {
    /// Cases opened, by kind.
    pub(crate) opened: IntCounterVec,
    /// Transitions, by the state entered.
    pub(crate) transitions: IntCounterVec,
    /// Incidents opened.
    pub(crate) incidents: IntCounter,
    /// Attempts of steps, by how they ended.
    pub(crate) attempts: IntCounterVec,
    /// Executions in memory.
    pub(crate) live: IntGauge,
    /// Calls to peers under way.
    pub(crate) calls: IntGauge,
    /// Turns a commit carries.
    pub(crate) batch: Histogram,
    /// Cases that could not be read back.
    pub(crate) unreadable: IntCounter,
    /// Commits that failed.
    pub(crate) commit_failures: IntCounter,
    /// Writes of this replica that were refused because another had taken over.
    pub(crate) fenced: IntCounter,
    /// Executions started without a case.
    pub(crate) started: IntCounter,
    /// Executions that ended.
    pub(crate) ended: IntCounter,
    /// Tasks given to workers.
    pub(crate) tasks_taken: IntCounter,
    /// Leases of tasks that expired.
    pub(crate) leases_expired: IntCounter,
    /// Whether tasks go into the queue that replicas share.
    pub(crate) shared_queue: IntGauge,
    /// How often that queue had lost its memory.
    pub(crate) shared_queue_losses: IntCounter,
    /// Shards owned.
    pub(crate) shards: IntGauge,
    /// Open dead letters, by state.
    pub(crate) letters: IntGaugeVec,
    /// How long the oldest of them is open.
    pub(crate) oldest_letter: IntGauge,
    /// Finished dead letters deleted after their retention.
    pub(crate) letters_purged: IntCounter,
    /// Of schedules.
    pub(crate) schedules: ScheduleMetrics,
}

/// The metrics of schedules.
pub(crate) struct ScheduleMetrics {
    /// Runs, by what became of them.
    pub(crate) runs: IntCounterVec,
    /// How late their executions started.
    pub(crate) delay: Histogram,
}

impl ScheduleMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let delay = HistogramOpts::new(
            "schedule_delay_seconds",
            "How long after its time the execution of a run started",
        )
        .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0]);
        let metrics = Self {
            runs: counters(
                "schedule_runs_total",
                "Runs of schedules: started, refused by their definition, skipped for overlap, or missed",
                "outcome",
            )?,
            delay: Histogram::with_opts(delay)?,
        };
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.delay.clone()))?;
        Ok(metrics)
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let batch = HistogramOpts::new("orchestrator_commit_turns", "Turns that shared a commit")
            .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]);
        let metrics = Self {
            opened: counters("orchestrator_cases_opened_total", "Cases opened", "kind")?,
            transitions: counters("orchestrator_case_transitions_total", "Transitions of cases", "to")?,
            incidents: IntCounter::new(
                "orchestrator_incidents_total",
                "Steps that needed a person to mend something",
            )?,
            attempts: counters("orchestrator_step_attempts_total", "Attempts of steps", "outcome")?,
            live: IntGauge::new("orchestrator_executions_in_memory", "Executions in memory")?,
            calls: IntGauge::new("orchestrator_calls_in_flight", "Calls to peers under way")?,
            batch: Histogram::with_opts(batch)?,
            unreadable: IntCounter::new(
                "orchestrator_unreadable_cases_total",
                "Cases that could not be read back",
            )?,
            commit_failures: IntCounter::new("orchestrator_commit_failures_total", "Commits that failed")?,
            fenced: IntCounter::new(
                "orchestrator_fenced_commits_total",
                "Writes refused because another replica had taken over",
            )?,
            started: IntCounter::new(
                "orchestrator_executions_started_total",
                "Executions started without a case",
            )?,
            ended: IntCounter::new("orchestrator_executions_ended_total", "Executions that ended")?,
            tasks_taken: IntCounter::new("orchestrator_tasks_taken_total", "Tasks given to workers")?,
            leases_expired: IntCounter::new(
                "orchestrator_task_leases_expired_total",
                "Tasks whose workers gave no sign of life",
            )?,
            shared_queue: IntGauge::new(
                "orchestrator_shared_queue_up",
                "1 while tasks go into the queue that replicas share; 0 when each gives out its own",
            )?,
            shared_queue_losses: IntCounter::new(
                "orchestrator_shared_queue_losses_total",
                "Times the shared queue had lost its memory and was filled again",
            )?,
            shards: IntGauge::new("orchestrator_shards_owned", "Shards this replica owns, of 256")?,
            letters: gauges(
                "dead_letter_queue_depth",
                "Open dead letters of all tenants, as every replica counts them",
                "state",
            )?,
            oldest_letter: IntGauge::new(
                "dead_letter_oldest_age_seconds",
                "How long the oldest open dead letter waits; 0 when none is open",
            )?,
            letters_purged: IntCounter::new(
                "dead_letters_purged_total",
                "Finished dead letters deleted after their retention",
            )?,
            schedules: ScheduleMetrics::new(registry)?,
        };
        registry.register(Box::new(metrics.opened.clone()))?;
        registry.register(Box::new(metrics.transitions.clone()))?;
        registry.register(Box::new(metrics.incidents.clone()))?;
        registry.register(Box::new(metrics.attempts.clone()))?;
        registry.register(Box::new(metrics.live.clone()))?;
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.batch.clone()))?;
        registry.register(Box::new(metrics.unreadable.clone()))?;
        registry.register(Box::new(metrics.commit_failures.clone()))?;
        for counter in
            [&metrics.fenced, &metrics.started, &metrics.ended, &metrics.tasks_taken, &metrics.leases_expired]
        {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.shared_queue.clone()))?;
        registry.register(Box::new(metrics.shared_queue_losses.clone()))?;
        registry.register(Box::new(metrics.shards.clone()))?;
        registry.register(Box::new(metrics.letters.clone()))?;
        registry.register(Box::new(metrics.oldest_letter.clone()))?;
        registry.register(Box::new(metrics.letters_purged.clone()))?;
        Ok(metrics)
    }
}

fn counters(name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}

fn gauges(name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &[label])
}
