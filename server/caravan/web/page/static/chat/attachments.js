// Text files become part of the message: no model here sees anything else.

const MOST_BYTES = 512 * 1024;

/**
 * Read a file as a part of a message. Raises Error with words for the reader where it is no text, or too long.
 * @param {File} file
 */
export async function asMessagePart(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} has more than ${MOST_BYTES / 1024} KiB.`);
  const text = decoded(await file.arrayBuffer());
  if (text === null || text.includes("\0")) throw new Error(`${file.name} is no text file; this page sends text alone.`);
  const fence = "`".repeat(Math.max(2, ...[...text.matchAll(/`+/g)].map(([marks]) => marks.length)) + 1);
  return `${file.name}:\n${fence}\n${text.replace(/\n$/, "")}\n${fence}\n`;
}

/** @param {ArrayBuffer} bytes */
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
