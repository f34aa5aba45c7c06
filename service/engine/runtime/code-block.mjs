export { CodeBlock } from 'react-email:code-block/code-block';
export * from 'react-email:code-block/themes';
