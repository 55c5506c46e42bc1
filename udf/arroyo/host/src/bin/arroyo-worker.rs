//! A process that stands for an Arroyo worker: does what [`Command`]s on standard input say, and writes a [`Reply`] to
//! standard output for each.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use sightstream_arroyo_host::dylib::{Answered, CallError, Dylib, Handle};
use sightstream_arroyo_host::protocol::{Answer, Answers, Command, HandleAnswers, Reply, Row};

/// How often an operator asks for results.
const TICK: Duration = Duration::from_millis(50);

/// The unit of times in `/proc/PID/stat`: Linux counts hundredths of a second there, whatever its own clock does.
const TICK_OF_STAT: Duration = Duration::from_millis(10);

/// What is loaded and started.
#[derive(Default)]
struct State {
    // Before the dylibs, whose code stops them.
    handles: BTreeMap<String, Handle>,
    dylibs: BTreeMap<String, Dylib>,
}

fn main() -> io::Result<()> {
    let mut state = State::default();
    for line in io::stdin().lock().lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(command) => state.run(command).unwrap_or_else(Reply::Failed),
            Err(error) => Reply::Failed(format!("not a command: {error}")),
        };
        let mut output = io::stdout().lock();
        writeln!(output, "{}", serde_json::to_string(&reply)?)?;
        output.flush()?;
    }
    Ok(())
}

impl State {
    fn run(&mut self, command: Command) -> Result<Reply, String> {
        match command {
            Command::Load { udf, dylib } => {
                let loaded = Dylib::load(&dylib).map_err(|error| format!("{}: {error}", dylib.display()))?;
                self.dylibs.insert(udf, loaded);
            }
            Command::Unload { udf } => {
                self.dylibs.remove(&udf).ok_or_else(|| format!("no UDF {udf}"))?;
            }
            Command::Start {
                handle,
                udf,
                ordered,
                timeout,
                allowed_in_flight,
            } => {
                let dylib = self.dylibs.get(&udf).ok_or_else(|| format!("no UDF {udf}"))?;
                self.handles
                    .insert(handle, dylib.start(ordered, timeout, allowed_in_flight));
            }
            Command::Call { rows, patience } => return self.call(rows, patience).map(Reply::Answers),
            Command::Stop { handle } => {
                self.handles
                    .remove(&handle)
                    .ok_or_else(|| format!("no handle {handle}"))?;
            }
        }
        Ok(Reply::Done)
    }

    /// Every handle by a thread of its own, as subtasks are.
    fn call(&self, rows: Vec<(String, Vec<Row>)>, patience: Duration) -> Result<Answers, String> {
        let named = |(name, rows): (String, Vec<Row>)| match self.handles.get(&name) {
            Some(handle) => Ok((name, handle, rows)),
            None => Err(format!("no handle {name}")),
        };
        let subtasks = rows.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let cpu = cpu_time()?;
        let given: Result<Vec<(String, Given)>, String> = std::thread::scope(|scope| {
            let running: Vec<_> = subtasks
                .into_iter()
                .map(|(name, handle, rows)| (name, scope.spawn(move || run_subtask(handle, &rows, patience))))
                .collect();
            let joined = running.into_iter().map(|(name, subtask)| {
                let given = subtask.join().map_err(|_| format!("{name} panicked"))?;
                let given = given.map_err(|error| format!("{name}: {error}"))?;
                Ok((name, given))
            });
            joined.collect()
        });
        let cpu = cpu_time()?.saturating_sub(cpu);
        let by_handle = given?
            .into_iter()
            .map(|(name, given)| (name, given.encoded()))
            .collect();
        Ok(Answers { by_handle, cpu })
    }
}

/// The processor time of this process.
fn cpu_time() -> Result<Duration, String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    // The name of the program stands in brackets and may hold anything; times are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok());
    Ok(TICK_OF_STAT * u32::try_from(ticks.sum::<u64>()).unwrap_or(u32::MAX))
}

/// What one handle gave, as it came.
struct Given {
    answers: Vec<Answered>,
    took: Duration,
}

impl Given {
    fn encoded(self) -> HandleAnswers {
        let encoded = |(id, value): &Answered| Answer::new(*id, value.as_deref());
        HandleAnswers {
            answers: self.answers.iter().map(encoded).collect(),
            took: self.took,
        }
    }
}

/// Hands over all of `rows`, asking for results now and then, and then waits for those that are missing.
fn run_subtask(handle: &Handle, rows: &[Row], patience: Duration) -> Result<Given, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let said = |error: CallError| error.to_string();
    let started = Instant::now();
    let (mut asked, mut answered) = (started, started);
    let mut answers = Vec::with_capacity(rows.len());
    let mut ask = |answers: &mut Vec<Answered>| -> Result<(), String> {
        let ready = handle.drain().map_err(said)?;
        if !ready.is_empty() {
            answered = Instant::now();
        } else if answered.elapsed() > patience {
            let missing = rows.len() - answers.len();
            return Err(format!("{missing} of {} rows unanswered for {patience:?}", rows.len()));
        }
        answers.extend(ready);
        Ok(())
    };
    for row in rows {
        let sending = async { tokio::time::timeout(patience, handle.send(row.id, &row.arguments)).await };
        let taken = runtime.block_on(sending);
        let taken = taken.map_err(|_| format!("row {} is not taken for {patience:?}", row.id))?;
        taken.map_err(said)?;
        if asked.elapsed() > TICK {
            ask(&mut answers)?;
            asked = Instant::now();
        }
    }
    while answers.len() < rows.len() {
        ask(&mut answers)?;
        if answers.len() < rows.len() {
            std::thread::sleep(TICK);
        }
    }
    let took = started.elapsed();
    Ok(Given { answers, took })
}
