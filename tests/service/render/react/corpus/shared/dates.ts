const pad = <T>(value: T): string => String(value).padStart(2, '0');
export function short(at: Date): string { return `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`; }
