//! Commands of one service, in addition to those of every service.

use std::future::Future;

use clap::{ArgMatches, Args, Command};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

/// A command whose arguments are parsed. It runs when the settings are read.
pub(crate) type Work<C> = Box<dyn FnOnce(C) -> LocalBoxFuture<'static, anyhow::Result<()>>>;

/// Parses a command's arguments.
type Read<C> = Box<dyn Fn(&ArgMatches) -> Result<Work<C>, clap::Error>>;

/// The commands of one service. `C` is the type of its settings.
pub struct Commands<C>(Vec<(Command, Read<C>)>);

impl<C> Default for Commands<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: 'static> Commands<C> {
    /// Adds the command `name`. `A` defines its arguments and its line in `--help`. `work` runs with the settings and
    /// the arguments. Its error ends the process with exit code 1.
    pub fn add<A, F, Fut>(&mut self, name: &'static str, work: F)
    where
        A: Args + 'static,
        F: Fn(C, A) -> Fut + Copy + 'static,
        Fut: Future<Output = anyhow::Result<()>> + 'static,
    {
        let read = move |matches: &ArgMatches| {
            let arguments = A::from_arg_matches(matches)?;
            let work: Work<C> = Box::new(move |config| work(config, arguments).boxed_local());
            Ok(work)
        };
        self.0.push((A::augment_args(Command::new(name)), Box::new(read)));
    }

    /// The command line with these commands added.
    pub(crate) fn describe(&self, command: Command) -> Command {
        command.subcommands(self.0.iter().map(|(own, _)| own.clone()))
    }

    /// The command that was called, if it is one of these.
    pub(crate) fn chosen(&self, matches: &ArgMatches) -> Option<Work<C>> {
        let (called, matches) = matches.subcommand()?;
        let (_, read) = self.0.iter().find(|(own, _)| own.get_name() == called)?;
        Some(read(matches).unwrap_or_else(|error| error.exit()))
    }
}
