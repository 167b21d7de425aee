// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Dataset, Status} from "../interfaces/IFederations.sol";
import {Terms} from "../verifier/Types.sol";
import {RoundState} from "./RoundState.sol";
import {Seat} from "./Seat.sol";

/// @notice The part of a policy that decides who may do what, when, and for how much. The rest of what the contract enforces is in
/// the `Terms`; the reveal and propose windows and the least number are in the `RoundState`.
struct Rules {
    address creator;
    uint16 startParticipants;
    uint16 maxParticipants;
    uint16 committeeSize;
    uint16 quorumBps;
    uint8 attempts;
    uint32 commitWindow;
    uint32 batchWindow;
    uint32 attestWindow;
    uint32 challengeWindow;
    uint32 answerWindow;
    uint32 idleWindow;
    uint32 unbondingWindow;
    address relay;
    uint96 relayFee;
    uint96 stake;
    uint96 proposerBond;
    uint96 challengeBond;
    uint96 rejectionFee;
    uint96 proposerFee;
    uint96 attesterFee;
    uint96 unavailableFee;
    uint96 pool;
}

/// @notice A participant. It has a seat in the rounds from `from` to `until - 1`, unless it was slashed.
/// @dev What slashing changes lies in the first word.
/// @param stake What is left of its stake.
/// @param weight That of its newest data-set commitment.
/// @param leftAt When it left, or lost its seat; zero before.
/// @param slashed Whether it voted for a result that was disproved.
struct Participant {
    uint96 stake;
    uint32 from;
    uint32 until;
    uint32 weight;
    uint40 leftAt;
    uint16 datasets;
    bool slashed;
    address signer;
    address controller;
    address payout;
    uint96 paid;
    bytes32 identity;
}

/// @dev Marks of a proposed result: it says stop; a turn of its round had been missed; it was rejected and its bond is held; so many
/// voted against it that the bond owes the rejection fee; a proof against it was opened.
uint8 constant STOPS = 1;
uint8 constant TURN_MISSED = 2;
uint8 constant HELD = 4;
uint8 constant FEE_DUE = 8;
uint8 constant PROVEN = 16;

/// @notice A proposed result.
/// @param known Participants known when its round was opened: the leaves of its values and payout trees.
/// @param commits Direct commits of its round, behind the `batched` ones of the relay.
/// @param seed What its committee was drawn with, from its first `candidates` participants.
/// @param first The challenge whose clock runs; `next` is the one that will be opened next. Equal: none is open.
/// @param challengeDeadline Of a settled result, when it settled; of a rejected one with open proof commitments, until when these may
/// be opened.
/// @param ballots Bit p: place p voted for it; bit 128 + p: against.
/// @param proofs Challenges that wait for their proof to be opened.
struct Proposed {
    bytes32 payouts;
    uint96 payoutTotal;
    uint32 height;
    uint16 known;
    uint16 commits;
    uint16 batched;
    uint16 first;
    uint16 next;
    uint32 seed;
    uint16 candidates;
    address proposer;
    uint32 round;
    uint40 challengeDeadline;
    uint8 attempt;
    Status status;
    uint8 marks;
    uint256 ballots;
    uint256 proofs;
}

/// @notice A result that was on the lineage until another one took its height.
/// @param until The newest round by then: results of it, and of earlier rounds, were built on this one.
struct Replaced {
    bytes32 digest;
    uint32 until;
}

/// @notice What a challenge waits for.
enum Waiting {
    Nobody, // resolved, or never opened
    Proof, // the challenger opens what it committed to
    Answer, // anybody answers the demand
    Challenger // the demand was answered; the challenger goes on, or loses
}

/// @notice A challenge to a result.
/// @param deadline End of the clock that runs; zero while an older challenge's does.
/// @param since Block of its last step.
/// @param owed What the answers that `answerer` gave since another one did are worth, if the challenger concedes.
/// @param claim Of a proof the commitment, of a demand keccak256(abi.encode(target)). Of a challenge that was conceded before it was the
/// first one: the other end of the run of such challenges that it begins or ends.
struct Challenge {
    address challenger;
    uint40 deadline;
    uint40 since;
    uint8 steps;
    Waiting waiting;
    address answerer;
    uint96 owed;
    bytes32 claim;
}

/// @notice What an account may withdraw: ether (bonds, stakes, shares of what was slashed) and the pool's currency (fees).
struct Credit {
    uint128 wei_;
    uint128 fees;
}

/// @notice A federation.
/// @dev What one transaction of a round touches lies together.
/// @param weights Sum over all participants that have a seat.
/// @param lastRound Number of the newest round; the current one can be older, after a result was disproved.
/// @param claimable keccak256(abi.encode(payout root, total, leaves)) of the newest reward period that has ended.
/// @param fees All fees earned so far.
/// @param heldUntil Until when no stake is paid back, since votes for results that fell may still be proved wrong.
/// @param seed What the current round's committee is drawn with: 32 bits of a block's hash. A block's maker that tries more headers than
/// that meets the same seeds again.
/// @param candidates The participants that the current round's committee is drawn from: the first so many. A void round leaves seed and
/// number to the next one, which may know more participants.
struct Federation {
    RoundState state;
    bytes32 h;
    bytes32 standing;
    bytes32 claimable;
    uint32 headHeight;
    uint32 lastRound;
    uint32 weights;
    uint40 lastAccepted;
    uint40 openedBlock;
    uint32 seed;
    uint16 candidates;
    uint16 joined;
    uint16 active;
    address token;
    uint96 paid;
    uint96 fees;
    uint32 settledHeight;
    uint40 endedAt;
    bool refunded;
    uint40 heldUntil;
    Rules rules;
    Terms terms;
    mapping(address signer => Seat) seats;
    mapping(uint256 roundAndParticipant => bytes32) commits;
    mapping(uint256 roundAndParticipant => bool) charged;
    mapping(uint256 round => bytes32) batches;
    mapping(uint256 participant => Participant) participants;
    mapping(uint256 participant => mapping(uint256 dataset => Dataset)) datasets;
    mapping(address controller => bool) controllers;
    mapping(bytes32 digest => Proposed) results;
    mapping(uint256 height => bytes32 digest) accepted;
    mapping(uint256 height => Replaced[]) replaced;
    mapping(bytes32 digest => mapping(uint256 attempt => Proposed)) earlier;
    mapping(bytes32 result => mapping(uint256 attemptAndIndex => Challenge)) challenges;
    mapping(address account => Credit) credits;
}
