//! What the rest of the house relies on from the bus, checked alike on the twin in memory and on real nats-servers: the
//! oldest and the newest that are supported, each alone and as three that keep three copies of the log.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test that panics has done its work"
)]

mod cluster;
mod links;
mod log;
mod proxy;
mod questions;
mod reading;
mod real;
mod rights;
mod storms;
mod transcript;
mod world;

use std::sync::Arc;

use tokio::sync::Semaphore;

use world::{Lane, World};

/// Clusters that one test keeps at the same time. They mostly wait for each other's votes, but not only.
const STORMS_AT_ONCE: usize = 4;

/// One test for each law of a list.
macro_rules! lane {
    ($lane:ident, $world:expr, $($room:ident :: $law:ident)*) => {
        mod $lane {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                crate::$room::$law(&mut $world).await;
            })*
        }
    };
}

/// Three servers take seconds to choose their leaders, so that the laws which leave them alone share three, one after the
/// other, and the others have three each, some at the same time. Output and panic say which law it was.
macro_rules! cluster_lane {
    ($lane:ident, $kind:expr, calm { $($a:ident :: $b:ident)* } storms { $($c:ident :: $d:ident)* }) => {
        mod $lane {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn laws_in_calm_weather() {
                let mut world = World::on($kind).await;
                $(
                    println!("{}", stringify!($lane::$b));
                    crate::$a::$b(&mut world).await;
                    world.real().clear().await;
                )*
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
            async fn laws_in_storms() {
                let turns = Arc::new(Semaphore::new(STORMS_AT_ONCE));
                let laws = [$((stringify!($lane::$d), {
                    let turns = Arc::clone(&turns);
                    tokio::spawn(async move {
                        let _turn = turns.acquire().await.unwrap();
                        crate::$c::$d(&mut World::on($kind).await).await;
                    })
                })),*];
                for (name, law) in laws {
                    let kept = law.await;
                    println!("{name}: {}", if kept.is_ok() { "kept" } else { "broken" });
                    kept.unwrap();
                }
            }
        }
    };
}

/// `calm` laws leave the servers alone, `storms` do not; the first two lists hold everywhere, the next where there is a
/// server, the last where there are three.
macro_rules! laws {
    (
        everywhere { calm { $($a:ident :: $b:ident)* } storms { $($c:ident :: $d:ident)* } }
        on_servers { calm { $($e:ident :: $f:ident)* } }
        on_clusters { storms { $($g:ident :: $h:ident)* } }
    ) => {
        lane! { twin, World::twin(), $($a::$b)* $($c::$d)* }
        lane! { floor_single, World::on(Lane::FloorSingle).await, $($a::$b)* $($c::$d)* $($e::$f)* }
        lane! { newest_single, World::on(Lane::NewestSingle).await, $($a::$b)* $($c::$d)* $($e::$f)* }
        cluster_lane! { floor_cluster, Lane::FloorCluster,
            calm { $($a::$b)* $($e::$f)* } storms { $($c::$d)* $($g::$h)* } }
        cluster_lane! { newest_cluster, Lane::NewestCluster,
            calm { $($a::$b)* $($e::$f)* } storms { $($c::$d)* $($g::$h)* } }
    };
}

laws! {
    everywhere {
        calm {
            log::facts_without_a_log_are_refused
            log::what_is_published_is_read_in_order
            log::a_repeated_id_is_done_and_stands_once
            log::an_id_that_the_log_forgot_stands_twice
            log::an_oversized_fact_is_refused
            log::a_full_log_refuses_and_keeps
            log::the_log_is_made_once_and_found_again
            reading::a_reader_from_a_cursor_sees_the_next_fact
            reading::a_reader_waits_for_what_is_not_there_yet
            reading::a_log_made_again_is_said_and_not_read_over
            questions::a_question_is_answered_once
            questions::a_question_that_nobody_answers_ends_unknown_in_time
            questions::a_question_that_nobody_hears_is_refused
            questions::a_late_answer_is_unknown_and_answers_nothing_else
            questions::an_answer_to_a_foreign_address_is_not_given
            rights::a_question_that_is_not_permitted_is_refused
            rights::a_node_speaks_only_in_its_own_name
            rights::a_node_cannot_read_the_log
            rights::a_forbidden_subscription_ends
            rights::nobody_speaks_for_another
            links::the_bus_reports_whose_client_went_away
            links::a_lost_confirmation_is_unknown_and_its_repeat_harmless
        }
        storms {
            links::telling_never_blocks_while_the_bus_is_away
            links::publishing_returns_at_once_while_the_bus_is_away
            questions::questions_end_at_once_when_the_bus_dies
            storms::a_reader_goes_on_after_the_bus_died
            storms::a_paused_bus_makes_facts_unknown_and_each_stands_once
            storms::what_was_asked_of_a_paused_bus_is_heard_later
            transcript::the_same_story_has_the_same_answers
        }
    }
    on_servers {
        calm {
            real::the_server_is_of_the_age_that_its_lane_says
            real::two_coordinators_do_not_read_each_others_mail
            reading::a_reader_whose_consumer_was_taken_away_goes_on
            reading::no_consumer_is_left_behind
            links::facts_of_one_writer_stand_once_over_broken_links_and_overtake_by_little
        }
    }
    on_clusters {
        storms {
            cluster::one_of_three_dies_and_publishing_goes_on
            cluster::two_of_three_die_and_nothing_is_said_to_have_failed
            cluster::a_torn_copy_is_healed_by_the_other_two
        }
    }
}

/// What one server alone does: there is no other copy that could heal it. Three that all lost their disks are a new bus.
macro_rules! alone {
    ($($room:ident :: $law:ident)*) => {
        mod alone {
            use super::*;
            lane! { twin, World::twin(), $($room::$law)* }
            lane! { floor_single, World::on(Lane::FloorSingle).await, $($room::$law)* }
            lane! { newest_single, World::on(Lane::NewestSingle).await, $($room::$law)* }
        }
    };
}

alone! {
    storms::a_lost_disk_is_said_and_not_read_over
    storms::a_torn_tail_is_said_and_its_positions_are_given_again
    storms::a_tail_that_grew_again_is_said_too
}
