// Types of what is used of marked.
export function lexer(text: string): { raw: string; type: string }[];
export function parser(blocks: { raw: string; type: string }[]): string;
export class Tokenizer {
  lexer: { state: { inLink: boolean; inRawBlock: boolean } };
  tag(source: string): object | undefined;
}
export function use(extension: {
  tokenizer: { tag(this: Tokenizer, source: string): object | undefined };
  renderer: Record<string, (token: { text: string; href: string }) => string>;
}): void;
