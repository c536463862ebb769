//! Transactions.

commands! { TRANSACTIONS from super::scripting::SCRIPTING_END, up to TRANSACTIONS_END;
}
