// The messages of the open conversation, which stay at their end while the reader does.
import { conversations } from "../data/conversations.js";
import { childrenOf, pathOf } from "../data/tree.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useStore } from "../lib/preact.js";
import { MessageView } from "./message.js";

// So near to the end counts as at the end.
const NEAR = 60;

/** @param {{ writing: string }} props the id of the message that is being written, if any */
export function MessageList({ writing }) {
  const open = useStore(conversations, (state) => state.open);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const isAtEnd = useRef(true);
  const path = pathOf(open);
  const siblings = useSiblings(open);
  useEffect(() => {
    isAtEnd.current = true;
  }, [open.id, path.length]);
  useLayoutEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [open]);
  const onScroll = (/** @type {{ currentTarget: HTMLElement }} */ { currentTarget: at }) => {
    isAtEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < NEAR;
  };
  if (!path.length) return html`<${Empty} />`;
  return html`
    <div class="messages" ref=${box} onScroll=${onScroll} tabindex="0" role="region" aria-label="Conversation">
      ${path.map(
        (message, place) => html`
          <${MessageView} key=${message.id} message=${message} siblings=${siblings[message.id]}
            isWriting=${writing === message.id} isLast=${place === path.length - 1} isBusy=${writing !== ""} />
        `,
      )}
    </div>
  `;
}

/** The ids of each message's siblings, with spaces between. @param {import("../data/tree.js").Conversation} open */
function useSiblings(open) {
  const ids = Object.keys(open.messages).join(" ");
  return useMemo(() => {
    /** @type {Record<string, string>} */
    const found = {};
    for (const { id, parent } of Object.values(open.messages)) {
      found[id] ??= childrenOf(open, parent).map((each) => each.id).join(" ");
    }
    return found;
  }, [open.id, ids]);
}

function Empty() {
  return html`
    <div class="messages is-empty">
      <p class="welcome">What shall we try?</p>
      <p class="quiet">Answers come from this server. Conversations stay in this browser.</p>
    </div>
  `;
}
