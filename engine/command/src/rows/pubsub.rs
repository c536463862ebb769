//! Channels.

commands! { PUBSUB from super::transactions::TRANSACTIONS_END, up to PUBSUB_END;
}
