export function fieldTableModule(): string;
