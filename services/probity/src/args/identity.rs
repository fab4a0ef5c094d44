//! `probity login`, `logout`, `user` and `key`.

use super::Connect;
use clap::{Args, Subcommand};
use probity_types::Role;
use std::path::PathBuf;

/// `probity login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Who: a bare name is a user; `service-accounts/<name>` for a program.
    pub actor: String,
    /// The tenant; that of the platform without it.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Where the password is.
    #[command(flatten)]
    pub password: PasswordArgs,
    /// How to reach the platform.
    #[command(flatten)]
    pub connect: Connect,
}

/// `probity logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// How to reach the platform.
    #[command(flatten)]
    pub connect: Connect,
}

/// Where a password comes from: asked for on the terminal, or a file.
#[derive(Debug, Clone, Args)]
pub struct PasswordArgs {
    /// File with the password in its first line, `-` for standard input. Asked for
    /// on the terminal without it; never on the command line, where others can read.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `probity user …`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account; it has no password that others know.
    Add {
        /// A bare name is a user; `service-accounts/<name>` for a program.
        actor: String,
        /// Roles, separated by commas: submitter, officer, auditor, operator, admin, worker.
        #[arg(long, value_delimiter = ',', required = true)]
        roles: Vec<Role>,
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
        /// Make a password and print it, once.
        #[arg(long, conflicts_with = "password_file")]
        generate: bool,
        /// Where the password is.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the accounts of a tenant.
    List {
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
        /// All of them, not only the first 50.
        #[arg(long)]
        all: bool,
    },
    /// Give an account other roles.
    Roles {
        /// Whose.
        actor: String,
        /// Roles, separated by commas.
        #[arg(value_delimiter = ',', required = true)]
        roles: Vec<Role>,
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// End the sessions of an account and refuse its tokens.
    Disable {
        /// Whose.
        actor: String,
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Let an account log in again.
    Enable {
        /// Whose.
        actor: String,
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Give an account a new password; its sessions end.
    Password {
        /// Whose.
        actor: String,
        /// The tenant; the caller's own without it.
        #[arg(long)]
        tenant: Option<String>,
        /// Make a password and print it, once.
        #[arg(long, conflicts_with = "password_file")]
        generate: bool,
        /// Where the password is.
        #[command(flatten)]
        password: PasswordArgs,
    },
}

/// `probity key …`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys that sign tokens, newest first.
    List,
    /// Make a new key: it is published now and signs when everybody knows it; no
    /// token is refused because of it.
    Rotate {
        /// It signs now, and everything other keys have signed is refused: for keys
        /// that somebody else may have.
        #[arg(long)]
        at_once: bool,
    },
}
