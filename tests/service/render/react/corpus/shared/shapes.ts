export namespace Shapes {
  export interface Square { side: number }
  export const area = ({ side }: Square) => <number>(side * side);
}
