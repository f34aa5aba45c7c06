export const More = () => null; export type { X } from './types-only';
