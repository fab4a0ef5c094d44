//! `probity user`: accounts.

use super::many;
use crate::args::identity::{PasswordArgs, UserCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, note, plain, time};
use crate::{secret, values};
use probity_proto::gateway::{
    Account, CreateAccountRequest, ListAccountsRequest, SetPasswordRequest, UpdateAccountRequest,
};
use probity_types::Role;
use zeroize::Zeroizing;

const ACCOUNT: &str = "probity.gateway.v1.Account";

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: UserCommand, out: Output) -> Result<(), Failure> {
    match command {
        UserCommand::Add { actor, roles, tenant, generate, password } => {
            add(client, account(&actor, &roles), tenant, (generate, &password), out).await
        }
        UserCommand::List { tenant, all } => list(client, tenant, all, out).await,
        UserCommand::Roles { actor, roles, tenant } => {
            update(client, account(&actor, &roles), "roles", tenant, out).await
        }
        UserCommand::Disable { actor, tenant } => {
            let account = Account { disabled: true, ..account(&actor, &[]) };
            update(client, account, "disabled", tenant, out).await
        }
        UserCommand::Enable { actor, tenant } => {
            update(client, account(&actor, &[]), "disabled", tenant, out).await
        }
        UserCommand::Password { actor, tenant, generate, password } => {
            set_password(client, &actor, tenant, (generate, &password), out).await
        }
    }
}

fn account(actor: &str, roles: &[Role]) -> Account {
    let roles = roles.iter().map(|role| role.number()).collect();
    Account { name: values::actor(actor), roles, ..Account::default() }
}

/// A new password: made here, or said by a person.
fn password((generate, args): (bool, &PasswordArgs)) -> Result<Zeroizing<String>, Failure> {
    if generate { secret::made() } else { secret::new(args) }
}

/// A password that was made goes to standard output alone, so that it can go to a
/// file; everything else is said beside it.
fn told(account: &Account, made: Option<&str>, out: Output) -> Result<(), Failure> {
    match made {
        Some(password) => {
            note(format_args!("the password of {}; it is shown this once", plain(&account.name)));
            out.line(password)
        }
        None => shown(account, out),
    }
}

fn shown(account: &Account, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json(ACCOUNT, account)?);
    }
    let mut table = output::table(&HEADER);
    table.add_row(row(account));
    out.table(&table)
}

async fn add(
    client: &Client,
    account: Account,
    tenant: Option<String>,
    from: (bool, &PasswordArgs),
    out: Output,
) -> Result<(), Failure> {
    let password = password(from)?;
    let (given, tenant) = (password.to_string(), tenant.unwrap_or_default());
    let request = CreateAccountRequest { account: Some(account), password: given, tenant };
    let call = |client: Client, request| async move { client.accounts().create_account(request).await };
    let made = client.call("make the account", None, request, call).await?;
    told(&made, from.0.then_some(password.as_str()), out)
}

async fn set_password(
    client: &Client,
    actor: &str,
    tenant: Option<String>,
    from: (bool, &PasswordArgs),
    out: Output,
) -> Result<(), Failure> {
    let password = password(from)?;
    let (name, tenant) = (values::actor(actor), tenant.unwrap_or_default());
    let request = SetPasswordRequest { name, password: password.to_string(), tenant };
    let call = |client: Client, request| async move { client.accounts().set_password(request).await };
    let changed = client.call("set the password", None, request, call).await?;
    told(&changed, from.0.then_some(password.as_str()), out)
}

async fn update(
    client: &Client,
    account: Account,
    field: &str,
    tenant: Option<String>,
    out: Output,
) -> Result<(), Failure> {
    let update_mask = Some(prost_types::FieldMask { paths: vec![field.to_owned()] });
    let tenant = tenant.unwrap_or_default();
    let request = UpdateAccountRequest { account: Some(account), update_mask, tenant };
    let call = |client: Client, request| async move { client.accounts().update_account(request).await };
    shown(&client.call("change the account", None, request, call).await?, out)
}

const HEADER: [&str; 6] = ["ACCOUNT", "TENANT", "ROLES", "STATE", "CHANGED", "PASSWORD SET"];

fn row(account: &Account) -> comfy_table::Row {
    let roles = account.roles.iter().filter_map(|number| Role::from_number(*number));
    let roles: Vec<_> = roles.map(Role::as_str).collect();
    comfy_table::Row::from(vec![
        plain(&account.name),
        plain(&account.tenant),
        roles.join(", "),
        if account.disabled { "disabled" } else { "enabled" }.to_owned(),
        time(account.update_time.as_ref()),
        time(account.password_time.as_ref()),
    ])
}

async fn list(client: &Client, tenant: Option<String>, all: bool, out: Output) -> Result<(), Failure> {
    let tenant = tenant.unwrap_or_default();
    let page = async |page_token: String, page_size: i32| {
        let request = ListAccountsRequest { page_size, page_token, tenant: tenant.clone() };
        let call = |client: Client, request| async move { client.accounts().list_accounts(request).await };
        let page = client.call("list the accounts", None, request, call).await?;
        Ok((page.accounts, page.next_page_token))
    };
    let none = "there are no accounts; `probity user add` makes one";
    many(all, none, out, output::table(&HEADER), page, |account| output::json(ACCOUNT, account), row).await
}
