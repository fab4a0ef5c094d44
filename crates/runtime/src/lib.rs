//! What every service is made of: Service, App, Host, configuration, peers, caller tokens, health and admin port.
