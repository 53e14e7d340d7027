INSERT INTO rsql_blog.blog_table (id, data) VALUES (1, 'row 1');
