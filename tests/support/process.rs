//! A child process with its output collected: killed when dropped, signalled by its own pid only.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::eventually;

/// Lines that a process has written so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    fn collect(from: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let output = Self::default();
        let lines = Arc::clone(&output.0);
        let collecting = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        (output, collecting)
    }

    /// All lines, joined.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    collecting: Vec<JoinHandle<()>>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Process {
    /// Starts it, with nothing on its standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (stdout, out) = Output::collect(child.stdout.take().expect("standard output is a pipe"));
        let (stderr, err) = Output::collect(child.stderr.take().expect("standard error is a pipe"));
        Self { child, name, collecting: vec![out, err], stdout, stderr }
    }

    /// The exit status if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// Waits for its end and for the last of its output; the exit code (None after a signal).
    pub(crate) async fn wait(&mut self, within: Duration) -> Option<i32> {
        let name = self.name.clone();
        let status = eventually(&format!("end of {name}"), within, async || {
            self.ended().ok_or_else(|| format!("it still runs; stderr: {}", self.stderr.text()))
        })
        .await;
        eventually(&format!("end of the output of {name}"), within, async || {
            if self.collecting.iter().all(JoinHandle::is_finished) {
                Ok(())
            } else {
                Err("a pipe is still open".to_owned())
            }
        })
        .await;
        status.code()
    }

    /// What it holds of the machine's memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.unwrap_or_else(|| panic!("no VmRSS in {path}: {}", self.words()))
    }

    /// How much processor time it has used: of the kernel too, to a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // Fields 14 and 15; the second is a name in parentheses.
        let fields = stat.rsplit(") ").next().into_iter().flat_map(str::split_whitespace);
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Sends a signal by name: TERM, STOP, CONT.
    pub(crate) fn signal(&mut self, signal: &str) {
        if self.ended().is_none() {
            let done = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
            assert!(done.is_ok_and(|status| status.success()), "kill -s {signal} {}", self.name);
        }
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            self.child.kill().expect("a running child can be killed");
        }
        self.child.wait().expect("a killed child ends");
    }

    /// Everything it wrote, for the message of a failed test.
    pub(crate) fn words(&self) -> String {
        format!("{}\nstdout:\n{}\nstderr:\n{}", self.name, self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
