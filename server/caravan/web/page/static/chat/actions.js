// What the reader can do in a conversation: send, stop, ask again, edit, answer calls.
import { ApiError } from "../api/client.js";
import { conversation, conversations, forget, keep, setConversation, store } from "../data/conversations.js";
import { chosen, pathOf, pathTo, withMessage, withPart } from "../data/tree.js";
import { announce, sentenceReader } from "../lib/announce.js";
import { perFrame } from "../lib/per_frame.js";
import { createStore } from "../lib/store.js";
import { settings } from "../params/settings.js";
import { buildBody } from "../request/body.js";
import { clearFaults, showFaults } from "./faults.js";
import { streamAnswer } from "./stream.js";

/**
 * Answers that are being written, by the conversations that they are in. */
export const running = createStore(/** @type {{ byConversation: Record<string, { id: string, abort: AbortController }> }} */ ({ byConversation: {} }));

// Milliseconds of an answer that may be lost with the page.
const STORE_EVERY = 3000;

/** Send what is typed. @returns {Promise<void>} */
export async function sendDraft() {
  const { open, draft } = conversations.get();
  if (!draft.trim() || isRunning(open.id)) return;
  const parent = pathOf(open).at(-1)?.id ?? null;
  const added = withMessage(open, { role: "user", parent, content: draft });
  await write(added.conversation, added.id, true);
}

/** Ask for another answer in the place of this one. @param {string} id */
export async function askAgain(id) {
  const { open } = conversations.get();
  if (!isRunning(open.id)) await write(open, open.messages[id].parent);
}

/** Put another message beside one of the reader's, and have it answered. @param {string} id @param {string} content */
export async function editMessage(id, content) {
  const { open } = conversations.get();
  if (!content.trim() || isRunning(open.id)) return;
  const { role, parent } = open.messages[id];
  const added = withMessage(open, { role, parent, content });
  await write(added.conversation, added.id);
}

/** Show a sibling. @param {string} id */
export function show(id) {
  const { open } = conversations.get();
  setConversation(chosen(open, id));
  keep(open.id);
}

/** Tell what calls gave, and go on. @param {string} id @param {{ callId: string, content: string }[]} results */
export async function answerCalls(id, results) {
  let { open } = conversations.get();
  let parent = id;
  for (const { callId, content } of results) {
    const added = withMessage(open, { role: "tool", parent, callId, content });
    open = added.conversation;
    parent = added.id;
  }
  await write(open, parent);
}

/** End the answer that is being written in the open conversation. */
export function stop() {
  running.get().byConversation[conversations.get().open.id]?.abort.abort();
}

/** Delete a conversation; an answer that is being written in it ends. @param {string} id */
export function remove(id) {
  running.get().byConversation[id]?.abort.abort();
  forget(id);
}

/** @param {string} id */
export function isRunning(id) {
  return id in running.get().byConversation;
}

/**
 * Have an answer written behind `parent`. What is typed stays where it cannot be sent.
 * @param {import("../data/tree.js").Conversation} open
 * @param {string | null} parent
 * @param {boolean} [isDraft] whether what is typed has been sent with it
 */
async function write(open, parent, isDraft = false) {
  clearFaults();
  const { body, faults } = buildBody({ system: open.system, path: pathTo(open, parent), settings: settings.get() });
  if (faults.length) {
    showFaults(faults);
    announce(faults[0].message);
    return;
  }
  const model = settings.get().model;
  const added = withMessage(open, { role: "assistant", parent, model });
  setConversation(added.conversation);
  if (isDraft) conversations.set({ draft: "" });
  const abort = new AbortController();
  running.set(({ byConversation }) => ({ byConversation: { ...byConversation, [open.id]: { id: added.id, abort } } }));
  keep(open.id);
  await run(open.id, added.id, body, abort.signal);
  running.set(({ byConversation: { [open.id]: _, ...others } }) => ({ byConversation: others }));
  keep(open.id);
}

/**
 * @param {string} conversationId
 * @param {string} id
 * @param {Record<string, unknown>} body
 * @param {AbortSignal} signal
 */
async function run(conversationId, id, body, signal) {
  let stored = performance.now();
  const draw = perFrame((/** @type {Partial<import("../data/tree.js").Message>} */ part) => {
    const now = conversation(conversationId);
    if (!now?.messages[id]) return;
    setConversation(withPart(now, id, part));
    if (performance.now() - stored < STORE_EVERY) return;
    stored = performance.now();
    store(conversationId);
  });
  const voice = sentenceReader();
  let said = 0;
  /** @type {import("../data/tree.js").Facts} */
  let facts = {};
  try {
    await streamAnswer(body, signal, (part) => {
      const content = part.content ?? "";
      voice.add(content.slice(said));
      said = content.length;
      facts = part.facts ?? facts;
      draw.next(part);
    });
  } catch (error) {
    draw.next(signal.aborted ? { facts: { ...facts, finish: "stopped" } } : failed(error));
  } finally {
    voice.end();
    draw.end();
  }
}

/** @param {unknown} error @returns {Partial<import("../data/tree.js").Message>} */
function failed(error) {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ApiError && error.param) showFaults([{ field: error.param, message }]);
  announce(`This went wrong: ${message}`);
  return { error: message };
}
