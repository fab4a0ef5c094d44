//! Requests about sessions and accounts, checked, and accounts, sessions and keys as
//! messages.

use crate::domain::keyring::{Ring, State};
use crate::domain::principal::{check_actor, check_roles, check_tenant};
use crate::error::Error;
use crate::login::{Tokens, name};
use crate::store::{Account, Change};
use probity_proto::{gateway, time};
use probity_types::{Ctx, Micros, Role, Roles};
use zeroize::Zeroizing;

/// Longest password that is looked at, in bytes; what may be set is shorter.
const LONGEST: usize = 1_024;
/// Accounts of a page when nobody says how many, and most.
const PAGE: (i32, i32) = (50, 1_000);

fn wrong(field: &'static str) -> impl Fn(String) -> Error {
    move |why| Error::Account { field, why }
}

/// The name of an account.
///
/// # Errors
/// When it is none.
pub(crate) fn actor(name: String, field: &'static str) -> Result<String, Error> {
    check_actor(&name).map_err(wrong(field))?;
    Ok(name)
}

/// The tenant that is asked about: the caller's own when none is given, any for
/// callers of the home tenant.
///
/// # Errors
/// When it is none, or somebody else's.
pub(crate) fn tenant(given: String, caller: &Ctx, home: &str) -> Result<String, Error> {
    if given.is_empty() || given == caller.tenant {
        return Ok(caller.tenant.clone());
    }
    check_tenant(&given).map_err(wrong("tenant"))?;
    if caller.tenant == home { Ok(given) } else { Err(Error::OtherTenant(home.to_owned())) }
}

/// The tenant somebody logs in to.
///
/// # Errors
/// When it is none.
pub(crate) fn login_tenant(given: String, home: &str) -> Result<String, Error> {
    if given.is_empty() {
        return Ok(home.to_owned());
    }
    check_tenant(&given).map_err(wrong("tenant"))?;
    Ok(given)
}

/// A password that is held against a hash.
///
/// # Errors
/// When it is empty or endless.
pub(crate) fn given(password: String, field: &'static str) -> Result<Zeroizing<String>, Error> {
    let password = Zeroizing::new(password);
    if !(1..=LONGEST).contains(&password.len()) {
        return Err(wrong(field)(format!("must have 1 to {LONGEST} bytes")));
    }
    Ok(password)
}

/// A password that is to be set.
///
/// # Errors
/// When it is none that may be.
pub(crate) fn new_password(
    password: String,
    actor: &str,
    field: &'static str,
) -> Result<Zeroizing<String>, Error> {
    let password = Zeroizing::new(password);
    crate::domain::password::check(&password, actor).map_err(wrong(field))?;
    Ok(password)
}

/// A refresh token.
///
/// # Errors
/// When there is none.
pub(crate) fn refresh_token(token: String) -> Result<Zeroizing<String>, Error> {
    let token = Zeroizing::new(token);
    if token.is_empty() {
        return Err(wrong("refresh_token")("must not be empty".to_owned()));
    }
    Ok(token)
}

fn roles(numbers: &[i32]) -> Result<Roles, Error> {
    let known = |number: &i32| {
        Role::from_number(*number)
            .ok_or_else(|| wrong("account.roles")(format!("there is no role with the number {number}")))
    };
    let roles: Vec<_> = numbers.iter().map(known).collect::<Result<_, _>>()?;
    check_roles(&roles).map_err(wrong("account.roles"))?;
    Ok(Roles::new(roles))
}

/// An account to make: its name, its roles, and whether it is disabled.
///
/// # Errors
/// Names the first field that cannot be used.
pub(crate) fn new_account(account: Option<gateway::Account>) -> Result<(String, Roles, bool), Error> {
    let account = account.ok_or_else(|| wrong("account")("must be given".to_owned()))?;
    let name = actor(account.name, "account.name")?;
    Ok((name, roles(&account.roles)?, account.disabled))
}

/// What to change about which account.
///
/// # Errors
/// Names the first field that cannot be used, of the mask as well.
pub(crate) fn change(request: gateway::UpdateAccountRequest) -> Result<(String, Change), Error> {
    let account = request.account.ok_or_else(|| wrong("account")("must be given".to_owned()))?;
    let (mut set_roles, mut set_disabled) = (!account.roles.is_empty(), account.disabled);
    if let Some(mask) = request.update_mask {
        (set_roles, set_disabled) = (false, false);
        for path in &mask.paths {
            match path.as_str() {
                "roles" => set_roles = true,
                "disabled" => set_disabled = true,
                "*" => (set_roles, set_disabled) = (true, true),
                other => {
                    let why = format!("{other:?} cannot be changed; one of roles, disabled, or *");
                    return Err(wrong("update_mask")(why));
                }
            }
        }
    }
    let name = actor(account.name, "account.name")?;
    let roles = if set_roles { Some(roles(&account.roles)?) } else { None };
    Ok((name, Change { roles, disabled: set_disabled.then_some(account.disabled), password: None }))
}

/// How many accounts a page has, and after which it begins.
///
/// # Errors
/// When the size or the token is none.
pub(crate) fn page(size: i32, token: String) -> Result<(i64, String), Error> {
    let (usual, most) = PAGE;
    if size < 0 {
        return Err(wrong("page_size")(format!("must be from 0 to {most}")));
    }
    let size = if size == 0 { usual } else { size.min(most) };
    if !token.is_empty() {
        let why = |_| "is no next_page_token of this method".to_owned();
        check_actor(&token).map_err(why).map_err(wrong("page_token"))?;
    }
    Ok((size.into(), token))
}

/// An account as a message; its hash stays inside.
pub(crate) fn account(account: &Account) -> gateway::Account {
    gateway::Account {
        name: account.actor.clone(),
        roles: account.roles.iter().map(Role::number).collect(),
        disabled: account.disabled,
        tenant: account.tenant.clone(),
        create_time: Some(time::timestamp(account.made.0)),
        update_time: Some(time::timestamp(account.changed.0)),
        password_time: Some(time::timestamp(account.password_set.0)),
    }
}

/// A session with its newest tokens.
pub(crate) fn session(tokens: Tokens) -> gateway::Session {
    gateway::Session {
        name: name(tokens.session.id),
        access_token: tokens.access,
        expire_time: Some(time::timestamp(tokens.principal.expires.0)),
        refresh_token: tokens.refresh,
        refresh_expire_time: Some(time::timestamp(tokens.session.expires.0)),
        principal: Some(super::principal(&tokens.principal)),
    }
}

/// The keys with what they are good for, newest first.
pub(crate) fn signing_keys(ring: &Ring, now: Micros) -> gateway::ListSigningKeysResponse {
    let keys = ring.states(now).map(|(record, id, state)| gateway::SigningKey {
        id: id.to_owned(),
        state: i32::from(match state {
            State::Announced => gateway::SigningKeyState::Announced,
            State::Signing => gateway::SigningKeyState::Signing,
            State::Verifying => gateway::SigningKeyState::Verifying,
            State::Ended => gateway::SigningKeyState::Ended,
        }),
        create_time: Some(time::timestamp(record.made.0)),
        sign_time: Some(time::timestamp(record.signs.0)),
        end_time: (record.ends.0 != 0).then(|| time::timestamp(record.ends.0)),
    });
    gateway::ListSigningKeysResponse { keys: keys.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expect<'e> = Result<(bool, Option<bool>), &'e str>;

    #[test]
    fn masks_say_what_changes() {
        let check = |roles: &[i32], disabled: bool, mask: Option<&[&str]>, expect: Expect<'_>| {
            let (name, roles) = ("users/a".to_owned(), roles.to_vec());
            let account = gateway::Account { name, roles, disabled, ..Default::default() };
            let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
            let update_mask = mask.map(|mask| prost_types::FieldMask { paths: paths(mask) });
            let tenant = String::new();
            let request = gateway::UpdateAccountRequest { account: Some(account), update_mask, tenant };
            let got = change(request).map(|(_, change)| (change.roles.is_some(), change.disabled));
            match (got, expect) {
                (Ok(got), Ok(expect)) => assert_eq!(got, expect),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expect) => panic!("{got:?} {expect:?}"),
            }
        };
        check(&[2], false, None, Ok((true, None)));
        check(&[], true, None, Ok((false, Some(true))));
        check(&[], false, Some(&["disabled"]), Ok((false, Some(false))));
        check(&[2], true, Some(&["roles"]), Ok((true, None)));
        check(&[2], true, Some(&["*"]), Ok((true, Some(true))));
        check(&[], false, Some(&["roles"]), Err("at least one role"));
        check(&[6], false, None, Err("role service"));
        check(&[2], false, Some(&["password"]), Err("\"password\" cannot be changed"));
    }
}
