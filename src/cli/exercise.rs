//! Flags about people and authority: a plan adds them to the drill's `exercise`, and keeps them apart, too.
//!
//! They become part of the plan and of its hash, so they are fixed before the run starts. Pure.

use clap::{Args, ValueEnum};

use super::CliError;
use super::masked::nothing_secret;
use crate::model::exercise::{Approval, Exercise, ExerciseKind, Participant};

/// People and authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "People and authority, as reports state them")]
pub struct ExerciseArgs {
    /// The change ticket, an id or a URL.
    #[arg(long, value_name = "TICKET", value_parser = words)]
    ticket: Option<String>,
    /// Somebody who takes part; may be given again.
    #[arg(long, value_name = "ROLE=NAME", value_parser = participant)]
    participant: Vec<Participant>,
    /// Somebody who approved it; may be given again.
    #[arg(long, value_name = "NAME", value_parser = words)]
    approved_by: Vec<String>,
    /// What kind of exercise it is.
    #[arg(long, value_name = "TYPE", value_enum)]
    exercise_type: Option<Kind>,
    /// Whether the people involved know of it.
    #[arg(long, value_name = "YES_OR_NO", value_enum)]
    announced: Option<YesNo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tabletop,
    Functional,
    FullScale,
    Switchover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

fn words(s: &str) -> Result<String, String> {
    match s.trim() {
        "" => Err("it is empty".to_owned()),
        s if s.chars().any(char::is_control) => Err("it has control characters".to_owned()),
        s => nothing_secret(s),
    }
}

fn participant(s: &str) -> Result<Participant, String> {
    let wrong = || "write ROLE=NAME, for example \"incident commander=NAME\"".to_owned();
    nothing_secret(s)?;
    let (role, name) = s.split_once('=').ok_or_else(wrong)?;
    let (role, name) = (words(role).map_err(|_| wrong())?, words(name).map_err(|_| wrong())?);
    Ok(Participant { role, name, identity: None })
}

impl ExerciseArgs {
    /// What was given; a plan adds it to what its drill says: lists grow, single values replace.
    pub fn said(&self) -> Exercise {
        let approval = |name: &String| Approval { name: name.clone(), at: None, reference: None };
        Exercise {
            ticket: self.ticket.clone(),
            participants: self.participant.clone(),
            approved_by: self.approved_by.iter().map(approval).collect(),
            kind: self.exercise_type.map(ExerciseKind::from),
            announced: self.announced.map(|a| a == YesNo::Yes),
            ..Exercise::default()
        }
    }

    /// Refuses flags where a plan is run: it is fixed.
    ///
    /// # Errors
    /// Where any was given.
    pub fn refuse_with_plan(&self) -> Result<(), CliError> {
        if *self == Self::default() {
            return Ok(());
        }
        Err(CliError::usage("the plan is fixed: people and authority cannot be added any more").hint(
            "give --ticket, --participant, --approved-by, --exercise-type and --announced when planning",
        ))
    }
}

impl From<Kind> for ExerciseKind {
    fn from(k: Kind) -> Self {
        match k {
            Kind::Tabletop => Self::Tabletop,
            Kind::Functional => Self::Functional,
            Kind::FullScale => Self::FullScale,
            Kind::Switchover => Self::Switchover,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_refused() {
        for text in ["https://bob:hidden@jira/x", "see https://hidden@jira/x"] {
            assert!(words(text).unwrap_err().contains("leave that out"), "{text}");
            assert!(participant(&format!("lead={text}")).is_err(), "{text}");
        }
        assert!(words("https://jira/x?at=a@b").is_ok());
    }

    #[test]
    fn lists_grow_and_single_values_replace() {
        let mut exercise = Exercise {
            ticket: Some("OLD-1".to_owned()),
            announced: Some(true),
            participants: vec![participant("observer=first").unwrap()],
            ..Exercise::default()
        };
        let before = exercise.clone();
        exercise.add(&ExerciseArgs::default().said());
        assert_eq!(exercise, before, "no flags change nothing");
        let args = ExerciseArgs {
            ticket: Some("NEW-2".to_owned()),
            participant: vec![participant(" incident commander = second ").unwrap()],
            approved_by: vec!["service owner".to_owned()],
            exercise_type: Some(Kind::FullScale),
            announced: Some(YesNo::No),
        };
        exercise.add(&args.said());
        assert_eq!(exercise.ticket.as_deref(), Some("NEW-2"));
        assert_eq!((exercise.announced, exercise.kind), (Some(false), Some(ExerciseKind::FullScale)));
        let roles: Vec<_> = exercise.participants.iter().map(|p| (&*p.role, &*p.name)).collect();
        assert_eq!(roles, [("observer", "first"), ("incident commander", "second")]);
        assert_eq!(exercise.approved_by[0].name, "service owner");
        assert!(args.refuse_with_plan().is_err_and(|e| e.exit_code() == 2));
        assert!(ExerciseArgs::default().refuse_with_plan().is_ok());
    }

    #[test]
    fn a_participant_has_a_role_and_a_name() {
        for wrong in ["observer", "=name", "observer=", " = ", "observer=a\u{1b}[2J"] {
            assert!(participant(wrong).is_err(), "{wrong}");
        }
    }
}
