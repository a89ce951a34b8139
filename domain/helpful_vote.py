"""Whether one reader found one review helpful: a stream for each of the two together, so that a vote is one vote."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from emporium.domain.base import Aggregate, Command, Event, State, stream_id


def helpful_vote_id_of(review_id: UUID, voter: UUID) -> UUID:
    """The id of the reader's only vote on the review."""
    return stream_id("helpful vote", review_id, voter)


class HelpfulVoteCast(Event, frozen=True, kw_only=True):
    """The reader finds the review helpful or not; None takes the vote back. `previous` is the vote before."""

    review_id: UUID
    voter: UUID
    helpful: bool | None
    previous: bool | None = None


class HelpfulVoteState(State, frozen=True, kw_only=True):
    """What a vote remembers."""

    helpful: bool | None


class CastHelpfulVote(Command, frozen=True, kw_only=True):
    """Whoever sends it has made sure that the review is shown and another person's."""

    review_id: UUID
    voter: UUID
    helpful: bool | None


def decide(command: Command, vote: HelpfulVoteState | None) -> Sequence[Event]:
    """The event that the command makes; none where it says what was said before."""
    match command:
        case CastHelpfulVote():
            previous = None if vote is None else vote.helpful
            if command.helpful == previous:
                return []
            return [
                HelpfulVoteCast(
                    review_id=command.review_id, voter=command.voter, helpful=command.helpful, previous=previous
                )
            ]
        case _:
            raise TypeError(f"a vote does not know {type(command).__name__}")


def evolve(_: HelpfulVoteState | None, event: Event) -> HelpfulVoteState:
    """The vote after the event."""
    match event:
        case HelpfulVoteCast():
            return HelpfulVoteState(helpful=event.helpful)
        case _:
            raise TypeError(f"a vote does not know {type(event).__name__}")


HELPFUL_VOTE: Final = Aggregate(
    name="HelpfulVote",
    log="reviews",
    state=HelpfulVoteState,
    events=(HelpfulVoteCast,),
    decide=decide,
    evolve=evolve,
)
