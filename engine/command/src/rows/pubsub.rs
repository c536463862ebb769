//! Channels.

use super::subcommands::PUBSUB_SUBCOMMANDS;
use crate::spec::ServeCommand as On;

commands! { PUBSUB from super::transactions::TRANSACTIONS_END, up to PUBSUB_END;
    "psubscribe" AtLeast(2) Neither None Single => Serve(On::Psubscribe), "pattern [pattern ...]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] [] []
        PubSub "2.0.0" "O(N) in the patterns" "Listens to the channels whose names match patterns.";
    "publish" Exactly(3) Neither None Single => Serve(On::Publish), "channel message"
        [PUBSUB LOADING STALE FAST MAY_REPLICATE] [PUBSUB] [] []
        PubSub "2.0.0" "O(N+M) in the listeners of the channel and all patterns"
        "Sends a message to those who listen to a channel.";
    "pubsub" AtLeast(2) Neither None Single => Serve(On::Pubsub), "subcommand [argument ...]"
        [] [] [] []
        PubSub "2.8.0" "Depends on the subcommand" "Tells of channels and who listens."
        of PUBSUB_SUBCOMMANDS;
    "punsubscribe" AtLeast(1) Neither None Single => Serve(On::Punsubscribe), "[pattern [pattern ...]]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] [] []
        PubSub "2.0.0" "O(N) in the patterns" "Listens to patterns, or all of them, no longer.";
    "spublish" Exactly(3) Neither First Single => Serve(On::Spublish), "shardchannel message"
        [PUBSUB LOADING STALE FAST MAY_REPLICATE] [PUBSUB] ["not_key"] []
        PubSub "7.0.0" "O(N) in the listeners"
        "Sends a message to those who listen to a shard channel.";
    "ssubscribe" AtLeast(2) Neither All Single => Serve(On::Ssubscribe),
        "shardchannel [shardchannel ...]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] ["not_key"] []
        PubSub "7.0.0" "O(N) in the channels" "Listens to shard channels.";
    "subscribe" AtLeast(2) Neither None Single => Serve(On::Subscribe), "channel [channel ...]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] [] []
        PubSub "2.0.0" "O(N) in the channels" "Listens to channels.";
    "sunsubscribe" AtLeast(1) Neither All Single => Serve(On::Sunsubscribe),
        "[shardchannel [shardchannel ...]]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] ["not_key"] []
        PubSub "7.0.0" "O(N) in the channels"
        "Listens to shard channels, or all of them, no longer.";
    "unsubscribe" AtLeast(1) Neither None Single => Serve(On::Unsubscribe), "[channel [channel ...]]"
        [PUBSUB NOSCRIPT LOADING STALE] [PUBSUB] [] []
        PubSub "2.0.0" "O(N) in the channels" "Listens to channels, or all of them, no longer.";
}
