-- The table is dropped first, so that every run ends with the same four rows.
DROP TABLE IF EXISTS rsql_blog.blog_table;

CREATE TABLE rsql_blog.blog_table (
    id   INTEGER     NOT NULL,
    data VARCHAR(30) NOT NULL
)
DISTSTYLE ALL;
