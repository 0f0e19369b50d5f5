// Markdown as elements: cut into blocks, of which only those that have changed are made anew, and made harmless.
import { lexer, parser, Tokenizer, use } from "../vendor/marked.js";
import "../vendor/dompurify.js";
import { html, memo, useMemo, useRef } from "../lib/preact.js";

const purify = /** @type {any} */ (globalThis).DOMPurify;

const RULES = {
  ALLOWED_TAGS: [
    ..."p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del a table thead tbody tr th td sup sub".split(" "),
  ],
  ALLOWED_ATTR: ["href", "start", "align", "rel", "target"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_TRUSTED_TYPE: true,
};

/** @type {Record<string, string>} */
const WRITTEN = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** @param {string} text */
function escaped(text) {
  return text.replace(/[&<>"]/g, (sign) => WRITTEN[sign]);
}

// HTML is shown as it was written, so that no tag changes what comes after it; and pictures, which would be asked of others, as links.
use({
  tokenizer: {
    tag(source) {
      const { inLink, inRawBlock } = this.lexer.state;
      const token = Tokenizer.prototype.tag.call(this, source);
      Object.assign(this.lexer.state, { inLink, inRawBlock });
      return token;
    },
  },
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
  },
});

// Where a link leads is not told of this page, nor may it touch it.
purify.addHook("afterSanitizeAttributes", (/** @type {Element} */ node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("rel", "noopener noreferrer");
  node.setAttribute("target", "_blank");
});

// So many blocks at the end may still change when more text comes: a paragraph into a table, a list into a longer one.
const UNSURE = 3;

/**
 * @typedef {{ raw: string, type: string }} Block
 * @typedef {{ text: string, blocks: Block[] }} Cut the beginning that is sure, and its blocks
 */

/** @param {{ text: string }} props */
export function Markdown({ text }) {
  const cut = useRef(/** @type {Cut} */ ({ text: "", blocks: [] }));
  const blocks = useMemo(() => blocksOf(text, cut.current), [text]);
  return html`<div class="prose">
    ${blocks.map((block, place) => html`<${BlockView} key=${place} block=${block} />`)}
  </div>`;
}

/** @param {string} text @param {Cut} cut what is known of a text that this one may go on from @returns {Block[]} */
function blocksOf(text, cut) {
  const clean = text.replace(/\r\n?/g, "\n");
  if (!clean.startsWith(cut.text)) Object.assign(cut, { text: "", blocks: [] });
  const rest = lexed(clean.slice(cut.text.length));
  // A definition is of what stands anywhere in the text.
  if (rest.some(({ type }) => type === "def")) return shown(cut.text ? lexed(clean) : rest);
  const all = [...cut.blocks, ...rest];
  const sure = rest.slice(0, -UNSURE);
  if (sure.length > 0) {
    cut.blocks = [...cut.blocks, ...sure];
    cut.text = clean.slice(0, cut.text.length + sure.reduce((length, { raw }) => length + raw.length, 0));
  }
  return shown(all);
}

/** @param {Block[]} blocks */
function shown(blocks) {
  return blocks.filter(({ type }) => type !== "space" && type !== "def");
}

/** What is nested deeper than the parser can go is one block, which no parser knows. @param {string} text @returns {Block[]} */
function lexed(text) {
  try {
    return lexer(text);
  } catch {
    return [{ raw: text, type: "too deep" }];
  }
}

const BlockView = memo((/** @type {{ block: Block }} */ { block }) => {
  // What a reference leads to stands elsewhere.
  const whole = block.raw.includes("[") ? block : block.raw;
  const made = useMemo(() => purify.sanitize(written(block), RULES), [whole]);
  return html`<div class="block" dangerouslySetInnerHTML=${{ __html: made }} />`;
});

/** A block as HTML, not yet made harmless. @param {Block} block */
function written(block) {
  try {
    return parser([block]);
  } catch {
    return `<pre>${escaped(block.raw)}</pre>`;
  }
}
