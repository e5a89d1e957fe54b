/** A session that begins later: what holds before, and that nothing is lost at the change. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, PubSub } from "effect"
import * as LaterSession from "../../src/services/LaterSession.ts"
import { Session } from "../../src/services/Session.ts"
import * as SessionFake from "../support/SessionFake.ts"

it.effect("refuses what is asked too early, then is the session that has begun, its past included", () =>
  Effect.gen(function*() {
    const later = yield* LaterSession.make
    const events = yield* later.session.events
    assert.strictEqual((yield* later.session.view).phase, "looking")
    assert.deepStrictEqual(yield* later.session.conversation, [])
    assert.strictEqual((yield* Effect.flip(later.session.say("early")))._tag, "SessionRefused")

    const fake = yield* SessionFake.make
    yield* fake.happen(SessionFake.examples["session.started"])
    yield* later.begin(Context.get(yield* Layer.build(fake.layer), Session))
    yield* fake.happen(SessionFake.examples["peer.up"])
    assert.strictEqual((yield* PubSub.take(events)).event, "session.started")
    assert.strictEqual((yield* PubSub.take(events)).event, "peer.up")
    assert.strictEqual((yield* later.session.view).phase, "joined")
    yield* later.session.say("hello")
    assert.deepStrictEqual(fake.asked, ["say hello"])
  }).pipe(Effect.scoped))
