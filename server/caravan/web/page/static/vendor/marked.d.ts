// Types of what is used of marked.
export function lexer(text: string): { raw: string; type: string }[];
export function parser(blocks: { raw: string; type: string }[]): string;
export function use(extension: {
  renderer: Record<string, (token: { text: string; href: string }) => string>;
}): void;
