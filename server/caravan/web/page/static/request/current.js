// The request that the Send button would send: the open conversation, with what is typed, and the settings.
import { conversations } from "../data/conversations.js";
import { newId, pathOf } from "../data/tree.js";
import { useStore } from "../lib/preact.js";
import { settings } from "../params/settings.js";
import { buildBody } from "./body.js";

/** Build it from what holds now. */
export function currentRequest() {
  return requestOf(conversations.get(), settings.get());
}

/** The same in a component, which is drawn again when it changes. */
export function useCurrentRequest() {
  const state = useStore(conversations, (all) => all);
  const chosen = useStore(settings, (all) => all);
  return requestOf(state, chosen);
}

/**
 * @param {{ open: import("../data/tree.js").Conversation, draft: string }} state
 * @param {import("../params/settings.js").Settings} chosen
 */
function requestOf({ open, draft }, chosen) {
  const path = pathOf(open);
  /** @type {import("../data/tree.js").Message} */
  const typed = { id: newId(), parent: null, role: "user", content: draft, created: 0 };
  return buildBody({ system: open.system, path: draft.trim() ? [...path, typed] : path, settings: chosen });
}
