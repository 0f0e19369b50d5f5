// What those who hear the page are told: whole sentences, in order, as they are finished.
import { createStore } from "./store.js";

export const announcements = createStore(/** @type {{ sentences: { id: number, text: string }[] }} */ ({ sentences: [] }));

// A region that grows for ever would be heavy; what has been said is of no use in it.
const KEPT = 20;
let count = 0;

/** Say a text. @param {string} text */
export function announce(text) {
  const trimmed = text.trim();
  if (!trimmed) return;
  count += 1;
  const said = { id: count, text: trimmed };
  announcements.set(({ sentences }) => ({ sentences: [...sentences, said].slice(-KEPT) }));
}

/** Cut a text that grows into sentences, and say each when it is whole. */
export function sentenceReader() {
  let rest = "";
  return {
    /** @param {string} text what has come since the last time */
    add(text) {
      rest += text;
      const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => rest.lastIndexOf(mark)));
      if (end < 0) return;
      announce(rest.slice(0, end + 1));
      rest = rest.slice(end + 1);
    },
    end() {
      announce(rest);
      rest = "";
    },
  };
}
