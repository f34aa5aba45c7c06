// react-email's components, with <Tailwind> in its memoised form and <CodeBlock> behind a door.
import * as React from 'react';
import * as Jsx from 'react/jsx-runtime';
import codeBlockSource from 'bundled:code-block';
import { markAsElement } from 'react-email:element-marker';
import { Body } from 'react-email:body/body';
import { Button } from 'react-email:button/button';
import { CodeInline } from 'react-email:code-inline/code-inline';
import { Column } from 'react-email:column/column';
import { Container } from 'react-email:container/container';
import { Font } from 'react-email:font/font';
import { Head } from 'react-email:head/head';
import { Heading } from 'react-email:heading/heading';
import { Hr } from 'react-email:hr/hr';
import { Html } from 'react-email:html/html';
import { Img } from 'react-email:img/img';
import { Link } from 'react-email:link/link';
import { Markdown } from 'react-email:markdown/markdown';
import { Preview, renderWhiteSpace } from 'react-email:preview/preview';
import { Row } from 'react-email:row/row';
import { Section } from 'react-email:section/section';
import { Text } from 'react-email:text/text';
import { inlineStyles } from 'react-email:tailwind/inline-styles';
import { sanitizeStyleSheet } from 'react-email:tailwind/sanitize-stylesheet';
import { setupTailwind } from 'react-email:tailwind/utils/tailwindcss/setup-tailwind';
import { pixelBasedPreset } from 'react-email:tailwind/tailwind';
import { harden } from './lockdown.mjs';
import * as render from './render.mjs';
import { Tailwind } from './tailwind.mjs';

const THEMES = `a11yDark atomDark baseAteliersulphurpoolLight cb coldarkCold coldarkDark coyWithoutShadows darcula dracula
  duotoneDark duotoneEarth duotoneForest duotoneLight duotoneSea duotoneSpace ghcolors gruvboxDark gruvboxLight holiTheme hopscotch
  laserwave lucario materialDark materialLight materialOceanic nightOwl nord oneDark oneLight pojoaque shadesOfPurple
  solarizedDarkAtom synthwave84 vesper vs vscDarkPlus xonokai zTouch`.split(/\s+/);

let codeBlock = null;

/** Evaluates Prism: a quarter of a second, so before a template that names it is rendered. */
export function loadCodeBlock() {
  if (codeBlock === null) {
    const module = { exports: {} };
    const evaluate = (0, eval)(`(function (require, module, exports) {${codeBlockSource}\n})`);
    evaluate((name) => (name === 'react' ? React : Jsx), module, module.exports);
    codeBlock = module.exports;
    for (const name of Object.keys(codeBlock)) harden(codeBlock[name]);
    harden(codeBlock.CodeBlock.render({ code: 'a', language: 'javascript', theme: {} }, null)); // its lines' component
  }
  return codeBlock;
}

export const components = {
  Body, Button, CodeInline, Column, Container, Font, Head, Heading, Hr, Html, Img, Link, Markdown, Preview, Row, Section, Tailwind, Text,
  inlineStyles, markAsElement, pixelBasedPreset, renderWhiteSpace, sanitizeStyleSheet,
  setupTailwind, ...render, __esModule: true,
};
for (const name of ['CodeBlock', ...THEMES]) {
  Object.defineProperty(components, name, { enumerable: true, get: () => loadCodeBlock()[name] });
}
